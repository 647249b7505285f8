import { defineEngineErrors } from '../errors.js';

export const tokenizerErrors = defineEngineErrors({
  TOKENIZER_MISSING: {
    message: (a: { path: string }) => `${a.path} has no tokenizer`,
    remedy: () => "Put the model's tokenizer.json and tokenizer_config.json beside its weights.",
  },
  TOKENIZER_INVALID: {
    message: (a: { path: string; reason: string }) => `the tokenizer of ${a.path} cannot be used: ${a.reason}`,
    remedy: () => 'Download tokenizer.json again; it must be a file of the Hugging Face tokenizers library.',
  },
  CHAT_TEMPLATE_MISSING: {
    message: (a: { path: string }) => `${a.path} has no chat template`,
    remedy: () => 'Use completions instead of chat, or add chat_template to tokenizer_config.json.',
  },
  CHAT_TEMPLATE_FAILED: {
    message: (a: { path: string; reason: string }) =>
      `the chat template of ${a.path} refused these messages: ${a.reason}`,
    remedy: () => 'Change the messages as the template says (for instance: user and assistant in turn).',
  },
  CHAT_TEMPLATE_MISMATCH: {
    message: (a: { path: string; message: number }) =>
      `the chat template of ${a.path} renders earlier messages differently once message ${a.message} follows, so what the assistant says there cannot be told apart`,
    remedy: () => 'Train on conversations with one assistant turn, or use a template with {% generation %} marks.',
  },
});
