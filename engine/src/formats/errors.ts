import { defineEngineErrors } from '../errors.js';

const list = (items: readonly string[], most = 20) =>
  items.length <= most ? items.join(', ') : `${items.slice(0, most).join(', ')} and ${items.length - most} more`;

export const formatErrors = defineEngineErrors({
  FILE_UNREADABLE: {
    message: ({ path, reason }: { path: string; reason: string }) => `${path} cannot be read: ${reason}`,
    remedy: () => 'Check that the file exists and that you may read it.',
  },
  FILE_UNWRITABLE: {
    message: ({ path, reason }: { path: string; reason: string }) => `${path} cannot be written: ${reason}`,
    remedy: () => 'Check the folder, its permissions and the space left on the disk.',
  },
  SAFETENSORS_INVALID: {
    message: ({ path, reason }: { path: string; reason: string }) => `${path} is no valid safetensors file: ${reason}`,
    remedy: () => 'Download or save the file again; it is probably truncated or damaged.',
  },
  SAFETENSORS_CONTENT: {
    message: ({ path, tensor, reason }: { path: string; tensor: string; reason: string }) =>
      `tensor ${tensor} cannot be written to ${path}: ${reason}`,
    remedy: () => 'A tensor is written with exactly as many bytes as its shape and data type take.',
  },
  GGUF_INVALID: {
    message: ({ path, reason }: { path: string; reason: string }) => `${path} is no valid GGUF file: ${reason}`,
    remedy: () => 'Download or convert the file again; it is probably truncated or damaged.',
  },
  GGUF_VERSION: {
    message: ({ path, version }: { path: string; version: string }) => `${path} is a GGUF file of ${version}`,
    remedy: () => 'Little-endian GGUF of versions 2 and 3 is read. Convert the model again with a current converter.',
  },
  GGUF_TENSOR_TYPE: {
    message: ({
      path,
      tensor,
      type,
      known,
    }: {
      path: string;
      tensor: string;
      type: string;
      known: readonly string[];
    }) => `tensor ${tensor} of ${path} is stored as ${type}, which is not read; read are ${known.join(', ')}`,
    remedy: () => 'Take another quantisation of the model, for instance Q8_0 or Q4_K_M.',
  },
  GGUF_ARCHITECTURE: {
    message: ({ path, architecture, known }: { path: string; architecture: string; known: readonly string[] }) =>
      `${path} holds a model of architecture "${architecture}"; known from GGUF are ${known.join(', ')}`,
    remedy: () => 'Use a model of one of these architectures, or its Hugging Face folder.',
  },
  GGUF_SPLIT: {
    message: ({ path, count }: { path: string; count: number }) => `${path} is one of ${count} parts of a split model`,
    remedy: () => 'Join the parts first: "llama-gguf-split --merge <first part> <whole file>".',
  },
  GGUF_METADATA: {
    message: ({ path, key, reason }: { path: string; key: string; reason: string }) => `${path}: ${key} ${reason}`,
    remedy: () => 'Convert the model again with a current converter, or use its Hugging Face folder.',
  },
  GGUF_TENSOR_NAME: {
    message: ({ path, architecture, names }: { path: string; architecture: string; names: readonly string[] }) =>
      `${path} holds tensors that are not known of architecture "${architecture}": ${list(names)}`,
    remedy: () => 'Use the Hugging Face folder of this model, or one without these additions.',
  },
  MODEL_NOT_FOUND: {
    message: ({ name, looked }: { name: string; looked: readonly string[] }) =>
      `no model "${name}": it is neither a file or folder nor in the Hugging Face cache (looked at ${looked.join(', ')})`,
    remedy: ({ name }: { name: string }) =>
      /^[\w.-]+\/[\w.-]+$/.test(name)
        ? `Download it with "hf download ${name}", or give the path of a model folder or .gguf file.`
        : 'Give the path of a model folder or .gguf file, or a name like "org/model" that is in the Hugging Face cache.',
  },
  MODEL_INCOMPLETE: {
    message: ({ path, reason }: { path: string; reason: string }) => `the model in ${path} cannot be used: ${reason}`,
    remedy: () =>
      'A model folder holds config.json, model.safetensors (or its parts with model.safetensors.index.json) and tokenizer.json.',
  },
  MODEL_PICKLED: {
    message: ({ path, files }: { path: string; files: readonly string[] }) =>
      `${path} holds weights only as ${list(files, 4)}, which are not read: such files can run code`,
    remedy: () =>
      'Save the model as safetensors: AutoModelForCausalLM.from_pretrained(path).save_pretrained(path, safe_serialization=True).',
  },
  JSON_INVALID: {
    message: ({ path, reason }: { path: string; reason: string }) => `${path} cannot be used: ${reason}`,
    remedy: () => 'Compare the file with that of the published model.',
  },
});
