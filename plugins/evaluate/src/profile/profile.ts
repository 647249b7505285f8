import type { Answer, EvaluatedModel } from '../models/evaluated-model.js';

export interface Load {
  readonly promptWords: number;
  readonly newTokens: number;
  /** Requests at the same time. */
  readonly concurrency: number;
  readonly rounds: number;
}

export interface Profile {
  readonly concurrency: number;
  /** Of one prompt, as the model counts them. */
  readonly promptTokens: number;
  /** From the request to the first token. */
  readonly firstTokenSeconds: { readonly p50: number; readonly p95: number };
  /** Tokens of all answers over the time that they took together. */
  readonly tokensPerSecond: number;
  /** Tokens of one answer after its first, over their time: the median of all answers. */
  readonly tokensPerSecondOfStream: number;
}

const WORDS = 'the of and to in is was for on as with by at from that it his her are this be or had not but what'.split(
  ' ',
);

/** Answers rounds of requests, all of a round at once. No two prompts begin alike, so that no cache shortens them. */
export async function measureProfile(model: EvaluatedModel, load: Load, signal: AbortSignal): Promise<Profile> {
  let serial = 0;
  const round = () =>
    Array.from({ length: load.concurrency }, () => {
      const start = ++serial * 7919 + load.concurrency * 104729;
      const words = Array.from(
        { length: load.promptWords },
        (_, i) => WORDS[(start + i * (1 + (serial % 5))) % WORDS.length],
      );
      const prompt = `${start} ${words.join(' ')}`;
      return { prompt, until: [], maxTokens: load.newTokens, temperature: 0, ignoreEndOfText: true };
    });
  await model.generate(round().slice(0, 1), { signal });
  const answers: Answer[] = [];
  let seconds = 0;
  for (let i = 0; i < load.rounds; i++) {
    const requests = round();
    const start = performance.now();
    answers.push(...(await model.generate(requests, { signal })));
    seconds += (performance.now() - start) / 1000;
  }
  const first = answers.map(({ firstTokenSeconds }) => firstTokenSeconds);
  const streams = answers
    .filter(({ tokens }) => tokens > 1)
    .map(({ tokens, seconds, firstTokenSeconds }) => (tokens - 1) / (seconds - firstTokenSeconds));
  return {
    concurrency: load.concurrency,
    promptTokens: answers[0]!.promptTokens,
    firstTokenSeconds: { p50: percentile(first, 0.5), p95: percentile(first, 0.95) },
    tokensPerSecond: answers.reduce((sum, { tokens }) => sum + tokens, 0) / seconds,
    tokensPerSecondOfStream: percentile(streams, 0.5),
  };
}

/** The nearest-rank percentile; 0 of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
