import { forcedAt } from './forced.js';
import { greedy, type SamplingParams } from './request.js';
import type { Sequence } from './sequence.js';
import type { Draw } from './step-batch.js';

/** Words of a row of the SAMPLE op (lf_sample_word in backend.h). */
const WORDS = 16;
const Word = {
  temperature: 0,
  topK: 1,
  topP: 2,
  minP: 3,
  repetition: 4,
  presence: 5,
  frequency: 6,
  seedLow: 7,
  seedHigh: 8,
  position: 9,
  historyStart: 10,
  promptLength: 11,
  outputLength: 12,
  flags: 13,
} as const;
const HAS_MASK = 1;
const HAS_BIAS = 2;

/** The operands of SAMPLE that describe the rows of a step. */
export interface SamplingRows {
  /** [B, 16] */
  readonly rows: Float32Array;
  /** The tokens that penalties look at, of all rows one after the other; absent when no row has penalties. */
  readonly history?: Int32Array;
  /** [B, V] added to the logits; absent when no row has a bias. */
  readonly bias?: Float32Array;
  /** [B, ceil(V / 32)] a bit for each allowed token; absent when no row is restricted. */
  readonly mask?: Uint32Array;
  /** The most log probabilities that any row asks for; undefined when none asks. */
  readonly topLogprobs?: number;
}

function hasPenalties(sampling: SamplingParams): boolean {
  return sampling.repetitionPenalty !== 1 || sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0;
}

/**
 * Encodes how each token of a step is drawn. `seeds` gives each sequence's seed, `masks` the tokens that may follow it.
 * A draw after guesses is encoded as if the guesses were output already.
 */
export function samplingRows(
  draws: readonly Draw[],
  seeds: (sequence: Sequence) => readonly [low: number, high: number],
  masks: (sequence: Sequence) => Uint32Array | undefined,
  vocabSize: number,
): SamplingRows {
  const rows = new Float32Array(draws.length * WORDS);
  const bits = new Uint32Array(rows.buffer);
  const maskWords = Math.ceil(vocabSize / 32);
  const history: number[] = [];
  let bias: Float32Array | undefined;
  let mask: Uint32Array | undefined;
  let topLogprobs: number | undefined;
  draws.forEach(({ sequence, offset }, index) => {
    const { logprobs } = sequence.request;
    const { forcedLength } = sequence;
    // Of the new tokens: those before them, the forced ones too, are to penalties what the prompt is.
    const place = Math.max(0, sequence.outputLength + offset - forcedLength);
    const forced = forcedAt(sequence, sequence.outputLength + offset);
    const sampling = forced === undefined ? sequence.request.sampling : greedy;
    const at = index * WORDS;
    const [seedLow, seedHigh] = seeds(sequence);
    rows[at + Word.temperature] = sampling.temperature;
    bits[at + Word.topK] = sampling.topK;
    rows[at + Word.topP] = sampling.topP;
    rows[at + Word.minP] = sampling.minP;
    rows[at + Word.repetition] = sampling.repetitionPenalty;
    rows[at + Word.presence] = sampling.presencePenalty;
    rows[at + Word.frequency] = sampling.frequencyPenalty;
    bits[at + Word.seedLow] = seedLow;
    bits[at + Word.seedHigh] = seedHigh;
    bits[at + Word.position] = place;
    if (hasPenalties(sampling)) {
      bits[at + Word.historyStart] = history.length;
      bits[at + Word.promptLength] = sequence.promptLength + forcedLength;
      bits[at + Word.outputLength] = place;
      for (const token of sequence.tokens) history.push(token);
      for (let i = 0; i < offset; i++) history.push(sequence.draft[i]!);
    }
    if (sampling.logitBias && sampling.logitBias.size > 0) {
      bias ??= new Float32Array(draws.length * vocabSize);
      for (const [token, value] of sampling.logitBias) bias[index * vocabSize + token] = value;
      bits[at + Word.flags]! |= HAS_BIAS;
    }
    const allowed = forced === undefined ? masks(sequence) : undefined;
    if (allowed || forced !== undefined) {
      mask ??= new Uint32Array(draws.length * maskWords);
      if (allowed) mask.set(allowed.subarray(0, maskWords), index * maskWords);
      else mask[index * maskWords + ((forced as number) >> 5)]! |= 1 << ((forced as number) & 31);
      bits[at + Word.flags]! |= HAS_MASK;
    }
    if (logprobs !== undefined) topLogprobs = Math.max(topLogprobs ?? 0, logprobs);
  });
  return { rows, history: history.length > 0 ? Int32Array.from(history) : undefined, bias, mask, topLogprobs };
}
