export { type AdapterSource, isAdapterFolder, readAdapter, writeAdapter } from './adapter.js';
export { asUnwritable, writeJson, writeTextFile } from './atomic-file.js';
export { finiteOnly } from './finite.js';
export type { GgufValue } from './gguf/metadata.js';
export { type GgufFile, type GgufTensor, readGguf } from './gguf/read.js';
export { type GgufEntry, writeGguf } from './gguf/write.js';
export { ggufArchitecture, ggufMetadata, ggufPlace, ropeFactors } from './gguf-model/write.js';
export { ggufTokenizerMetadata } from './gguf-tokenizer/write.js';
export {
  type CachedModel,
  datasetInHubCache,
  hubCacheFolder,
  modelsInHubCache,
  snapshotInHubCache,
} from './hub-cache.js';
export { readJson } from './json-file.js';
export {
  locateModel,
  readModelSource,
  readTokenizerFiles,
  sameTokenizerFiles,
  withTokenizerOf,
} from './model-folder.js';
export type { ModelSource, TensorEntry, TensorTransform, TokenizerSource } from './model-source.js';
export {
  readTableQuantized,
  type TableQuantizedTensor,
  type TableQuantizedWeight,
} from './quantized/bitsandbytes.js';
export { blocksOfRows, quantizeQ8 } from './quantized/blocks.js';
export {
  hasNaturalGroups,
  type QuantizedTensor,
  readFloats,
  readGroupIndex,
  readQuantizedWeight,
  readQuantizedZeros,
  readSignedCodes,
} from './quantized/checkpoint.js';
export { bytesOf, encodeScales, rounded, type ScaleDType } from './quantized/half.js';
export { type PackedTensors, packWeight, type QuantizedLayout, unpackWeight } from './quantized/layouts.js';
export { dequantize, type QuantizedWeight } from './quantized/weight.js';
export { readSafetensors, type SafetensorsFile, type TensorToWrite, writeSafetensors } from './safetensors.js';
export { writeTokenizerFiles, writeWeights } from './write-folder.js';
