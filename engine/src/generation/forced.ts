import type { Sequence } from './sequence.js';

/** Rows of a step whose logits are formed for texts that are there already: each is as long as the vocabulary. */
const FORCED_ROWS = 128;

/** The token that is the output's at an index, whatever the model would draw; undefined where it is free to draw. */
export function forcedAt({ request }: Sequence, index: number): number | undefined {
  return request.forced?.[index];
}

/**
 * Gives sequences the next of their forced tokens as guesses, so that one step computes many of them. Since nothing else may
 * be drawn there, every guess is taken.
 */
export function guessForced(sequences: readonly Sequence[]): void {
  let room = FORCED_ROWS;
  for (const sequence of sequences) {
    const { outputLength, forcedLength, outputLimit } = sequence;
    const count = Math.min(room, forcedLength - outputLength, outputLimit - outputLength - 1);
    if (count < 1) continue;
    sequence.draft = Array.from({ length: count }, (_, i) => forcedAt(sequence, outputLength + i) as number);
    room -= count;
  }
}
