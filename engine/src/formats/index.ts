export { type AdapterSource, isAdapterFolder, readAdapter, writeAdapter } from './adapter.js';
export { type GgufFile, type GgufTensor, type GgufValue, readGguf } from './gguf.js';
export { hubCacheFolder, snapshotInHubCache } from './hub-cache.js';
export { locateModel, readJson, readModelSource, readTokenizerFiles } from './model-folder.js';
export type { ModelSource, TensorEntry, TokenizerSource } from './model-source.js';
export { readSafetensors, type SafetensorsFile, type TensorToWrite, writeSafetensors } from './safetensors.js';
export { writeJson, writeTextFile, writeTokenizerFiles, writeWeights } from './write-folder.js';
