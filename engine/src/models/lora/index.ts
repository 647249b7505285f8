export { attachedAdapter, attachLora, detachLora, type LoraAdapter, setAdapterEnabled } from './attach.js';
export type { LoraConfig, LoraOptions } from './config.js';
export { loadAdapter, readServedAdapter, type SaveAdapterOptions, saveAdapter } from './files.js';
export { mergeAdapter } from './merge.js';
export { type ServedAdapter, serveAdapters } from './served.js';
export type { TargetModules } from './targets.js';
