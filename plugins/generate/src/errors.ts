import { defineErrors } from '@largeforge/core';

/** What can go wrong with the models that a process serves. */
export const modelErrors = defineErrors({
  LF_MODEL_NOT_SERVED: {
    message: (a: { id: string; known: readonly string[] }) =>
      `no model "${a.id}" is loaded; loaded: ${a.known.join(', ') || 'none'}`,
    remedy: () => 'Load it first, or use the name of a loaded one.',
  },
  LF_MODEL_UNLOADED: {
    message: (a: { id: string }) => `the model "${a.id}" was unloaded`,
    remedy: () => 'Load it again.',
  },
  LF_MODEL_NAME_TAKEN: {
    message: (a: { id: string }) => `a model is served as "${a.id}" already`,
    remedy: () => 'Give it another name with {path, id}.',
  },
  LF_MODEL_NOT_GENERATING: {
    message: (a: { id: string }) => `the model "${a.id}" is an encoder: it gives vectors and generates no text`,
    remedy: () => 'Ask a causal language model, or use the model for embeddings.',
  },
  LF_MODEL_POOLING: {
    message: (a: { path: string; what: string }) => `the sentence encoder ${a.path} is pooled by ${a.what}`,
    remedy: () => 'Use an encoder whose vectors are the mean of its tokens or the state of the first token.',
  },
  LF_MODEL_NOT_AN_ADAPTER: {
    message: (a: { path: string }) => `${a.path} is no adapter: it has no adapter_config.json`,
    remedy: () => "Give an adapter's folder as PEFT writes it, or load the model without a base.",
  },
  LF_MODEL_TENSOR_PARALLEL: {
    message: (a: { path: string; ways: number; what: string }) =>
      `${a.path} is split among ${a.ways} devices, which cannot serve ${a.what} with it`,
    remedy: () => 'Merge the adapter into the model first, leave mixtures and drafts out, or set tensorParallel to 1.',
  },
  LF_MODEL_TOO_FEW_DEVICES: {
    message: (a: { ways: number; first: number; found: number; reason: string | undefined }) =>
      `tensorParallel asks for ${a.ways} devices from number ${a.first} on, and there are ${a.found}${a.reason ? `: ${a.reason}` : ''}`,
    remedy: () => 'Ask for as many as "largeforge doctor" lists, or begin with a lower "device" of the backend.',
  },
  LF_MODEL_MIXED_VOCABULARY: {
    message: (a: { path: string; other: string; reason: string }) =>
      `${a.other} cannot be mixed with ${a.path}: ${a.reason}`,
    remedy: () => 'Mix models that were trained with one tokenizer, such as adapters of one base model.',
  },
  LF_MODEL_DRAFT_VOCABULARY: {
    message: (a: { path: string; draft: string; reason: string }) =>
      `${a.draft} cannot guess for ${a.path}: ${a.reason}`,
    remedy: () => 'Use a smaller model of the same family, with the same tokenizer, or {lookup: true}.',
  },
  LF_MODEL_MIXED_ADAPTER: {
    message: (a: { path: string; id: string }) =>
      `the adapter ${a.path} cannot join "${a.id}", which is a mixture of models`,
    remedy: () => 'Load the adapter beside its base model, or name it in mixedWith.',
  },
  LF_MODEL_ADAPTER_RANK: {
    message: (a: { path: string; rank: number; limit: number }) =>
      `the adapter ${a.path} has rank ${a.rank}; adapters of up to ${a.limit} are served`,
    remedy: () => 'Raise maxAdapterRank (every adapter then takes the room of the largest), or merge the adapter.',
  },
  LF_MODEL_ADAPTER_VOCABULARY: {
    message: (a: { path: string; adapter: number; base: number }) =>
      `the adapter ${a.path} has a tokenizer of ${a.adapter} tokens, and its base model one of ${a.base}`,
    remedy: () => 'Merge the adapter and serve the merged model.',
  },
});
