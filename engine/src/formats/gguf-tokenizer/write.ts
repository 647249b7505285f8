import { formatErrors } from '../errors.js';
import type { GgufEntry } from '../gguf/write.js';
import type { TokenizerSource } from '../model-source.js';
import { splitNameOf } from './byte-level.js';

/** ggml's kinds of tokens. */
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;

interface TokenizerJson {
  readonly model?: { type?: string; vocab?: Record<string, number>; merges?: (string | [string, string])[] };
  readonly pre_tokenizer?: unknown;
  readonly post_processor?: unknown;
  readonly added_tokens?: { id: number; content: string; special: boolean }[];
}

/**
 * The metadata that carry a tokenizer, from Hugging Face's files: byte-level BPE.
 * @param vocabSize rows of the embeddings; tokens that they have beyond the vocabulary are unused
 * Throws LF_ENGINE_FILE_UNSUPPORTED for another kind, or where the format has no name for how it cuts text.
 */
export function ggufTokenizerMetadata(
  path: string,
  source: TokenizerSource,
  vocabSize: number,
): Map<string, GgufEntry> {
  const { model, pre_tokenizer, added_tokens = [] } = source.tokenizer as TokenizerJson;
  const fail = (reason: string) =>
    formatErrors.FILE_UNSUPPORTED({ path, reason, remedy: 'Use the model as a Hugging Face folder.' });
  if (model?.type !== 'BPE' || !model.vocab || !JSON.stringify(pre_tokenizer ?? null).includes('ByteLevel')) {
    throw fail('its tokenizer is no byte-level BPE, the kind that is written as GGUF');
  }
  const pre = splitNameOf(pre_tokenizer);
  if (pre === undefined) throw fail('GGUF has no name for how its tokenizer cuts text before merging');
  const tokens = new Array<string>(vocabSize);
  const types = new Array<number>(vocabSize).fill(UNUSED);
  for (const [token, id] of Object.entries(model.vocab)) {
    tokens[id] = token;
    types[id] = NORMAL;
  }
  for (const { id, content, special } of added_tokens) {
    tokens[id] = content;
    types[id] = special ? CONTROL : USER_DEFINED;
  }
  if (tokens.length > vocabSize) throw fail(`its tokenizer has ${tokens.length} tokens, its embeddings ${vocabSize}`);
  for (let id = 0; id < vocabSize; id++) tokens[id] ??= `[PAD${id}]`;
  const merges = (model.merges ?? []).map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  const metadata = new Map<string, GgufEntry>([
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: pre }],
    ['tokenizer.ggml.tokens', { type: 'strings', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: types }],
    ['tokenizer.ggml.merges', { type: 'strings', value: merges }],
  ]);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const { config } = source;
  for (const [key, name] of [
    ['bos', 'bos_token'],
    ['eos', 'eos_token'],
    ['unknown', 'unk_token'],
    ['padding', 'pad_token'],
  ] as const) {
    const id = ids.get(contentOf(config[name]) ?? '');
    if (id !== undefined) metadata.set(`tokenizer.ggml.${key}_token_id`, { type: 'u32', value: id });
  }
  const begins = beginsWith(source.tokenizer as TokenizerJson, contentOf(config.bos_token));
  metadata.set('tokenizer.ggml.add_bos_token', { type: 'bool', value: begins });
  if (source.chatTemplate !== undefined) {
    metadata.set('tokenizer.chat_template', { type: 'string', value: source.chatTemplate });
  }
  return metadata;
}

/** A special token of tokenizer_config.json, which has it as a text or described. */
function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  const content = (token as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : undefined;
}

/** Whether texts are put behind a token when they are tokenised with special ones. */
function beginsWith({ post_processor }: TokenizerJson, token: string | undefined): boolean {
  const processors = (post_processor as { processors?: unknown[] } | null)?.processors ?? [post_processor];
  return processors.some((processor) => {
    const { single } = (processor ?? {}) as { single?: { SpecialToken?: { id: string } }[] };
    return token !== undefined && single?.[0]?.SpecialToken?.id === token;
  });
}
