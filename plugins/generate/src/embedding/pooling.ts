import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { modelErrors } from '../errors.js';

/** How the hidden states of a text become one vector. */
export interface Pooling {
  /** `mean` of all tokens, or the state of the first (`cls`). */
  readonly of: 'mean' | 'cls';
  /** Whether vectors are divided by their length. */
  readonly normalize: boolean;
  /** Tokens that the model was made for, where its files say so. */
  readonly maxLength?: number;
}

/**
 * The pooling of a model's folder, as sentence-transformers writes it (modules.json, 1_Pooling/config.json,
 * sentence_bert_config.json); without these files the mean, as a unit vector.
 * @throws LF_MODEL_POOLING for a way of pooling that is not known here
 */
export function readPooling(folder: string): Pooling {
  const read = (file: string): unknown => {
    const path = join(folder, file);
    return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
  };
  const modules = read('modules.json') as { type?: string; path?: string }[] | undefined;
  if (!modules) return { of: 'mean', normalize: true };
  const named = (name: string) => modules.find(({ type }) => type?.endsWith(`.${name}`));
  const unknown = modules.find(({ type }) => !/\.(Transformer|Pooling|Normalize)$/.test(type ?? ''));
  if (unknown) throw modelErrors.LF_MODEL_POOLING({ path: folder, what: unknown.type ?? 'a module without a type' });
  const pooling = (read(join(named('Pooling')?.path ?? '', 'config.json')) ?? {}) as Record<string, unknown>;
  const on = Object.keys(pooling).filter((key) => key.startsWith('pooling_mode_') && pooling[key] === true);
  const [mode = 'pooling_mode_mean_tokens', second] = on;
  if (second !== undefined || !(mode in modes))
    throw modelErrors.LF_MODEL_POOLING({ path: folder, what: on.join(' and ') });
  const { max_seq_length: maxLength } = (read('sentence_bert_config.json') ?? {}) as { max_seq_length?: unknown };
  return {
    of: modes[mode as keyof typeof modes],
    normalize: named('Normalize') !== undefined,
    ...(typeof maxLength === 'number' ? { maxLength } : {}),
  };
}

const modes = { pooling_mode_mean_tokens: 'mean', pooling_mode_cls_token: 'cls' } as const;
