import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '@largeforge/core';
import type { Tokenizer, TokenRow } from '@largeforge/engine';
import { distillErrors } from '../errors.js';
import type { TopK } from './top-k-file.js';

export interface RemoteTeacherOptions {
  /** Base address of the API, such as http://localhost:8000/v1 */
  readonly url: string;
  /** Name of the teacher in requests. */
  readonly model: string;
  readonly apiKey: string | undefined;
  readonly topK: number;
  readonly signal: AbortSignal;
}

interface Completion {
  readonly choices: readonly {
    readonly index: number;
    readonly logprobs?: {
      readonly tokens: readonly string[];
      readonly top_logprobs?: readonly (Readonly<Record<string, number>> | null)[] | null;
    } | null;
  }[];
}

/** Tokens with their log-probabilities, the likeliest first. */
type Likeliest = readonly (readonly [token: number, logProbability: number])[];

const attempts = 5;
/** Rows that are asked at a time, and prompts of a request. */
const concurrency = 4;
const promptsAtOnce = 32;

/**
 * A teacher behind a server that speaks OpenAI's API: rows are sent as token ids to `/completions` with `echo`, which gives
 * the likeliest tokens at every position of a prompt; a server without it is asked what follows each beginning of a row.
 * Servers name tokens by their texts (vLLM by their ids, when asked), so the teacher must have the student's vocabulary.
 */
export class RemoteTeacher {
  private readonly ids = new Map<string, number>();
  /** Whether the server tells of the tokens of a prompt. */
  private echoes = true;

  private constructor(private readonly options: RemoteTeacherOptions) {}

  static async open(tokenizer: Tokenizer, vocabSize: number, options: RemoteTeacherOptions): Promise<RemoteTeacher> {
    const teacher = new RemoteTeacher(options);
    for (let id = 0; id < vocabSize; id++) {
      const text = await textOf(tokenizer, id);
      // Of several tokens of one text the first, as servers write only one of them.
      if (text !== undefined && !teacher.ids.has(text)) teacher.ids.set(text, id);
    }
    return teacher;
  }

  /** The likeliest tokens at the targets of each row. */
  async ask(rows: readonly TokenRow[]): Promise<TopK[]> {
    const answers = new Array<TopK>(rows.length);
    let next = 0;
    const work = async () => {
      for (let row = next++; row < rows.length; row = next++) answers[row] = await this.askOne(rows[row] as TokenRow);
    };
    await Promise.all(Array.from({ length: concurrency }, work));
    return answers;
  }

  private async askOne(row: TokenRow): Promise<TopK> {
    const found = this.echoes ? await this.echoed(row) : undefined;
    const all = (found ?? (await this.continued(row))).flat();
    return {
      tokens: Int32Array.from(all, ([token]) => token),
      logProbabilities: Float32Array.from(all, ([, logProbability]) => logProbability),
    };
  }

  /** All positions of a row by one request; undefined when the server does not tell of prompts. */
  private async echoed({ tokens, mask }: TokenRow): Promise<Likeliest[] | undefined> {
    const { model, topK, url } = this.options;
    // One token more than is asked for, as some servers refuse to generate none.
    const body = { model, prompt: [...tokens], max_tokens: 1, temperature: 0, echo: true, logprobs: topK };
    const answer = await this.post({ ...body, return_tokens_as_token_ids: true }, /echo/);
    if (!answer) {
      this.echoes = false;
      return undefined;
    }
    const top = answer.choices[0]?.logprobs?.top_logprobs;
    if (!top || top.length < tokens.length) throw distillErrors.LF_DISTILL_SERVER_LOGPROBS({ url });
    return targetsAt(mask).map((t) => this.likeliest(top[t] ?? {}));
  }

  /** What follows each beginning of a row: a prompt for every target, many in a request. */
  private async continued({ tokens, mask }: TokenRow): Promise<Likeliest[]> {
    const { model, topK, url } = this.options;
    const targets = targetsAt(mask);
    const found: Likeliest[] = [];
    for (let from = 0; from < targets.length; from += promptsAtOnce) {
      const prompt = targets.slice(from, from + promptsAtOnce).map((t) => [...tokens.subarray(0, t)]);
      // A text that ends at once would leave nothing to be told of.
      const body = { model, prompt, max_tokens: 1, temperature: 0, logprobs: topK, ignore_eos: true };
      const { choices } = (await this.post({ ...body, return_tokens_as_token_ids: true })) as Completion;
      const ordered = [...choices].sort((a, b) => a.index - b.index);
      for (const { logprobs } of ordered) found.push(this.likeliest(logprobs?.top_logprobs?.[0] ?? {}));
    }
    if (found.length !== targets.length) throw distillErrors.LF_DISTILL_SERVER_LOGPROBS({ url });
    return found;
  }

  /** The `topK` likeliest of what a server gave, which may hold the prompt's own token besides. */
  private likeliest(top: Readonly<Record<string, number>>): Likeliest {
    const { url, topK } = this.options;
    if (Object.keys(top).length === 0) throw distillErrors.LF_DISTILL_SERVER_LOGPROBS({ url });
    const known = Object.entries(top).map(([text, logProbability]): [number, number] => {
      const id = /^token_id:(\d+)$/.exec(text)?.[1] ?? this.ids.get(text);
      if (id === undefined) throw distillErrors.LF_DISTILL_SERVER_TOKEN({ url, token: text });
      return [Number(id), logProbability];
    });
    const ordered = known.sort((a, b) => b[1] - a[1]).slice(0, topK);
    // A server may give fewer than it is asked for: the rest is impossible to it.
    const used = new Set(ordered.map(([id]) => id));
    for (let id = 0; ordered.length < topK; id++) if (!used.has(id)) ordered.push([id, Number.NEGATIVE_INFINITY]);
    return ordered;
  }

  /** @param unless what a refusal says that is no failure */
  private async post(body: object, unless?: RegExp): Promise<Completion | undefined> {
    const { url, apiKey, signal } = this.options;
    const address = `${url.replace(/\/+$/, '')}/completions`;
    for (let attempt = 1; ; attempt++) {
      let reason: string;
      let final = attempt === attempts;
      try {
        const response = await fetch(address, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
          },
          body: JSON.stringify(body),
          signal: AbortSignal.any([signal, AbortSignal.timeout(120_000)]),
        });
        if (response.ok) return (await response.json()) as Completion;
        const refused = response.status === 400 || response.status === 422;
        reason = `${response.status} ${(await response.text()).slice(0, 300)}`;
        if (refused && unless?.test(reason)) return undefined;
        final ||= response.status !== 429 && response.status < 500;
      } catch (error) {
        signal.throwIfAborted();
        reason = reasonOf(error);
      }
      if (final) throw distillErrors.LF_DISTILL_SERVER({ url: address, reason });
      await sleep(250 * 2 ** attempt, undefined, { signal });
    }
  }
}

/** How servers write a token: its text, or its bytes where that is a part of a character. */
async function textOf(tokenizer: Tokenizer, id: number): Promise<string | undefined> {
  let text: string;
  try {
    text = await tokenizer.decode([id], { skipSpecialTokens: false });
  } catch {
    return undefined;
  }
  if (!text.includes('\uFFFD')) return text;
  return `bytes:${[...tokenizer.tokenBytes(id)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
}

/** Positions of the tokens that are targets; the first token is none. */
function targetsAt(mask: Uint8Array): number[] {
  return [...mask.keys()].filter((t) => t > 0 && mask[t] === 1);
}
