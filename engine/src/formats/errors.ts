import { defineEngineErrors } from '../errors.js';

/** What can be wrong with a model's files. */
export const formatErrors = defineEngineErrors({
  FILE_MISSING: {
    message: (a: { path: string; what: string }) => `there is no ${a.what} at ${a.path}`,
    remedy: () => 'Check the path.',
    exitCode: 2,
  },
  FILE_UNREADABLE: {
    message: (a: { path: string; reason: string }) => `${a.path} cannot be read: ${a.reason}`,
    remedy: () => 'Check that it is a file and that you may read it.',
    exitCode: 2,
  },
  FILE_UNWRITABLE: {
    message: (a: { path: string; reason: string }) => `${a.path} cannot be written: ${a.reason}`,
    remedy: () => 'Check the folder, its permissions and the space left on the disk.',
  },
  FILE_CORRUPT: {
    message: (a: { path: string; reason: string }) => `${a.path} is damaged: ${a.reason}`,
    remedy: () => 'Download or copy the file again; compare its size and checksum with the origin.',
  },
  FILE_UNSUPPORTED: {
    message: (a: { path: string; reason: string; remedy?: string }) => `${a.path} cannot be used: ${a.reason}`,
    remedy: (a) => a.remedy ?? 'Convert the file to a format that is known.',
    exitCode: 2,
  },
  WEIGHT_NOT_FINITE: {
    message: (a: { name: string; place: readonly number[]; dtype: string }) =>
      `${a.name}[${a.place.join(', ')}] is no finite number as ${a.dtype}; the model was not written`,
    remedy: () =>
      'The model that it comes from is damaged, or its training diverged: use an earlier checkpoint. Values too large for f16 fit bf16.',
  },
  TENSOR_CONTENT: {
    message: (a: { path: string; tensor: string; reason: string }) =>
      `tensor ${a.tensor} cannot be written to ${a.path}: ${a.reason}`,
    remedy: () => 'A tensor is written under a name of its own, with the bytes that its shape and data type take.',
  },
  MODEL_NOT_FOUND: {
    message: (a: { name: string; cache: string }) =>
      `"${a.name}" is no file or folder here, and the local Hugging Face cache (${a.cache}) does not hold it`,
    remedy: (a) =>
      /^[\w.-]+\/[\w.-]+$/.test(a.name)
        ? `Get it with "hf download ${a.name}", or give the path of a model folder or a .gguf file.`
        : 'Give the path of a model folder or a .gguf file, or a name such as "org/model".',
    exitCode: 2,
  },
  MODEL_FOLDER: {
    message: (a: { path: string; reason: string }) => `${a.path} is no model folder: ${a.reason}`,
    remedy: () =>
      'A model folder holds config.json, model.safetensors (or its shards with an index) and tokenizer.json.',
    exitCode: 2,
  },
});

/** A name as it can be printed: what a file says may hold anything. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}...` : name);
}
