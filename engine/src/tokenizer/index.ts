export { type ChatMessage, ChatTemplate, type ChatTemplateOptions } from './chat-template.js';
export { StreamDecoder } from './token-text.js';
export { type EncodeOptions, type EncodingWithOffsets, type RenderedConversation, Tokenizer } from './tokenizer.js';
