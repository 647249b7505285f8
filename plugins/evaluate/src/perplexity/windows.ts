import type { ScoredSequence } from '@largeforge/engine';

export interface WindowOptions {
  /** Tokens of a window, the BOS token included when there is one. */
  readonly window: number;
  /** Tokens from the start of a window to the start of the next; as many as a window has text tokens at most. */
  readonly stride: number;
  /** Put before the tokens of every window. */
  readonly bos?: number;
  /** Only the first windows. */
  readonly maxWindows?: number;
}

/**
 * Cuts a text into windows, as transformers' guide "Perplexity of fixed-length models" does. Each token is scored in the
 * first window that holds it, given what stands before it in that window; the first token of a window without BOS has
 * nothing before it and is not scored there. The last window may be shorter.
 */
export function stridedWindows(
  tokens: Int32Array,
  { window, stride, bos, maxWindows }: WindowOptions,
): ScoredSequence[] {
  const prefix = bos === undefined ? [] : [bos];
  const room = window - prefix.length;
  const windows: ScoredSequence[] = [];
  let scored = 0;
  for (let start = 0; scored < tokens.length && windows.length < (maxWindows ?? Infinity); start += stride) {
    const end = Math.min(start + room, tokens.length);
    const from = Math.max(prefix.length + scored - start, 1);
    const sequence = Int32Array.from([...prefix, ...tokens.subarray(start, end)]);
    if (from < sequence.length) windows.push({ tokens: sequence, from });
    scored = end;
  }
  return windows;
}
