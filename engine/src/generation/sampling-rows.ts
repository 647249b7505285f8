import type { SamplingParams } from './request.js';
import type { Sequence } from './sequence.js';

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
const HAS_BIAS = 2;

/** The operands of SAMPLE that describe the rows of a step. */
export interface SamplingRows {
  /** [B, 16] */
  readonly rows: Float32Array;
  /** The tokens that penalties look at, of all rows one after the other; absent when no row has penalties. */
  readonly history?: Int32Array;
  /** [B, V] added to the logits; absent when no row has a bias. */
  readonly bias?: Float32Array;
  /** The most log probabilities that any row asks for; undefined when none asks. */
  readonly topLogprobs?: number;
}

function hasPenalties(sampling: SamplingParams): boolean {
  return sampling.repetitionPenalty !== 1 || sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0;
}

/** Encodes how the next token of each sequence is drawn. `seeds` gives each sequence's seed. */
export function samplingRows(
  sequences: readonly Sequence[],
  seeds: (sequence: Sequence) => readonly [low: number, high: number],
  vocabSize: number,
): SamplingRows {
  const rows = new Float32Array(sequences.length * WORDS);
  const bits = new Uint32Array(rows.buffer);
  const history: number[] = [];
  let bias: Float32Array | undefined;
  let topLogprobs: number | undefined;
  sequences.forEach((sequence, index) => {
    const { sampling, logprobs } = sequence.request;
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
    bits[at + Word.position] = sequence.outputLength;
    if (hasPenalties(sampling)) {
      bits[at + Word.historyStart] = history.length;
      bits[at + Word.promptLength] = sequence.promptLength;
      bits[at + Word.outputLength] = sequence.outputLength;
      for (const token of sequence.tokens) history.push(token);
    }
    if (sampling.logitBias && sampling.logitBias.size > 0) {
      bias ??= new Float32Array(sequences.length * vocabSize);
      for (const [token, value] of sampling.logitBias) bias[index * vocabSize + token] = value;
      bits[at + Word.flags] = HAS_BIAS;
    }
    if (logprobs !== undefined) topLogprobs = Math.max(topLogprobs ?? 0, logprobs);
  });
  return { rows, history: history.length > 0 ? Int32Array.from(history) : undefined, bias, topLogprobs };
}
