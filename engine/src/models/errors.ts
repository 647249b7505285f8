import { defineEngineErrors } from '../errors.js';

const list = (items: readonly string[], most = 12) =>
  items.length <= most ? items.join(', ') : `${items.slice(0, most).join(', ')} and ${items.length - most} more`;

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;

interface AdapterMismatch {
  readonly path: string;
  readonly missing?: readonly string[];
  readonly unknown?: readonly string[];
  /** What is said of tensors with other shapes than the model asks for. */
  readonly shapes?: readonly string[];
}

export const modelErrors = defineEngineErrors({
  MODEL_CONFIG: {
    message: ({ modelType, problems }: { modelType: string; problems: readonly string[] }) =>
      `the config.json of this ${modelType} model cannot be used: ${problems.join('; ')}`,
    remedy: () => 'Compare config.json with that of the published model.',
  },
  UNKNOWN_ARCHITECTURE: {
    message: ({ modelType, known }: { modelType: string; known: readonly string[] }) =>
      `models of type "${modelType}" are not known; known types: ${known.join(', ')}`,
    remedy: () => 'Use a model of a known type, or add its architecture (engine/src/models/architectures).',
  },
  MISSING_TENSORS: {
    message: ({ missing, present }: { missing: readonly string[]; present: readonly string[] }) =>
      `the model's files lack ${missing.length} tensors: ${list(missing)}. They hold ${list(present, 6)}`,
    remedy: () => 'Check that all files were downloaded (the index names them), and that config.json belongs to them.',
  },
  UNKNOWN_TENSORS: {
    message: ({
      modelType,
      unknown,
      examples,
    }: {
      modelType: string;
      unknown: readonly string[];
      examples: readonly string[];
    }) =>
      `the model's files hold tensors that a ${modelType} model does not have: ${list(unknown)}. Names look like ${list(examples, 4)}`,
    remedy: () => 'Check model_type in config.json. Quantised or adapter weights are loaded in other ways.',
  },
  TENSOR_SHAPE: {
    message: ({ name, expected, actual }: { name: string; expected: readonly number[]; actual: readonly number[] }) =>
      `tensor ${name} is [${actual.join(', ')}] in the file, but the config asks for [${expected.join(', ')}]`,
    remedy: () => 'Check that config.json belongs to these weights.',
  },
  TENSOR_DTYPE: {
    message: ({ name, dtype }: { name: string; dtype: string }) =>
      `tensor ${name} has data type ${dtype}, which is no weight`,
    remedy: () => 'Weights are f32, f16, bf16 or one of the GGUF block formats.',
  },
  LAYERS: {
    message: ({ path, layers, count }: { path: string; layers: readonly number[]; count: number }) =>
      `'${path}' has ${count} layers; it cannot give the layers ${layers.join(', ')}`,
    remedy: ({ count }) => `Name layers from 0 to ${Math.max(0, count - 1)}.`,
  },
  NOT_CAUSAL: {
    message: ({ modelType }: { modelType: string }) => `a ${modelType} model is an encoder: it does not generate text`,
    remedy: () => 'Use a causal language model (llama, mistral, qwen3 and others).',
  },
  SEQUENCE_TOO_LONG: {
    message: ({ length, limit }: { length: number; limit: number }) =>
      `a sequence of ${length} tokens exceeds the model's ${limit} positions`,
    remedy: () => 'Shorten the sequence.',
  },
  MODEL_TOO_LARGE: {
    message: ({ parameters, needed, free }: { parameters: number; needed: number; free: number }) =>
      `the weights of a model of ${(parameters / 1e9).toFixed(1)} billion parameters take ${gigabytes(needed)}, and ${gigabytes(free)} are free`,
    remedy: () =>
      'Use a checkpoint that is quantised to 4 bits (GGUF, GPTQ, AWQ) with its weights as stored, a smaller model, or a machine with more memory.',
  },
  TENSOR_PARALLEL: {
    message: ({ modelType, ways, reason }: { modelType: string; ways: number; reason: string }) =>
      `this ${modelType} model cannot be split among ${ways} devices: ${reason}`,
    remedy: () => 'Choose a number of devices that divides the heads and sizes of the model, or run it on one device.',
  },
  LORA_TARGETS: {
    message: ({ targets, linears }: { targets: string; linears: readonly string[] }) =>
      `no linear layer matches ${targets}; the model has ${list(linears, 16)}`,
    remedy: () => 'Name layers by their last part ("q_proj"), by a pattern, or use "all-linear".',
  },
  LORA_OPTION: {
    message: ({ option, reason }: { option: string; reason: string }) => `LoRA ${option}: ${reason}`,
    remedy: () => 'Change that option.',
  },
  LORA_ATTACHED: {
    message: () => 'the model has an adapter already',
    remedy: () => 'Merge or detach it first.',
  },
  ADAPTER_CONFIG: {
    message: ({ path, problems }: { path: string; problems: readonly string[] }) =>
      `the adapter ${path} cannot be used: ${problems.join('; ')}`,
    remedy: () => 'Adapters are folders with adapter_config.json (peft_type LORA) and adapter_model.safetensors.',
  },
  ADAPTER_BASE: {
    message: ({ path, base }: { path: string; base: string | undefined }) =>
      base === undefined
        ? `the adapter ${path} does not say which base model it is for`
        : `the adapter ${path} is for the base model "${base}", which is no file or folder here and not in the local Hugging Face cache`,
    remedy: ({ base }) =>
      base !== undefined && /^[\w-][\w.-]*\/[\w.-]+$/.test(base)
        ? `Get it with "hf download ${base}", or correct base_model_name_or_path in adapter_config.json.`
        : 'Put the base model there, or correct base_model_name_or_path in adapter_config.json.',
    exitCode: 2,
  },
  ADAPTER_TENSORS: {
    message: ({ path, missing = [], unknown = [], shapes = [] }: AdapterMismatch) =>
      `the adapter ${path} does not fit the model:${shapes.length ? ` ${list(shapes)};` : ''}${missing.length ? ` it lacks ${list(missing)};` : ''}${unknown.length ? ` unknown ${list(unknown)}` : ''}`,
    remedy: () => 'Load the adapter onto the base model that it was trained on.',
  },
});
