import { packSequences } from '../models/batch.js';
import { KvCache } from '../models/kv-cache.js';
import type { CausalLanguageModel } from '../models/model.js';
import { frequencyLength } from '../models/rope.js';
import { scope } from '../tensor/scope.js';
import type { Tensor } from '../tensor/tensor.js';
import { ignoredLabel } from '../training/token-batch.js';
import { scoringErrors } from './errors.js';
import { groupByPrefix, type PrefixGroup } from './prefix-groups.js';
import { type ScoredSequence, type SequenceScore, scoreOf } from './sequence.js';
import { SharedPrefixBatch } from './shared-prefix-batch.js';

export interface ScorerOptions {
  /** Tokens that go through the model at once; a longer sequence goes alone. */
  readonly batchTokens?: number;
  /** Whether what sequences have in common at their beginning is computed once (default). */
  readonly sharePrefixes?: boolean;
}

export interface ScoreRun {
  readonly signal?: AbortSignal;
  /** Called with the number of sequences that are done. */
  readonly onProgress?: (done: number) => void;
}

/**
 * Log-probabilities of given tokens. The head's product is fused with the cross-entropy, so that the logits of a whole
 * batch never exist at once.
 */
export class SequenceScorer {
  private readonly batchTokens: number;
  private readonly sharePrefixes: boolean;

  constructor(
    private readonly model: CausalLanguageModel,
    { batchTokens = 2048, sharePrefixes = true }: ScorerOptions = {},
  ) {
    this.batchTokens = batchTokens;
    this.sharePrefixes = sharePrefixes && !lengthDependent(model);
  }

  /**
   * Scores sequences, in their order.
   * @throws LF_ENGINE_SCORE_RANGE when a sequence has nothing to score, or no token before what is scored
   */
  async score(sequences: readonly ScoredSequence[], { signal, onProgress }: ScoreRun = {}): Promise<SequenceScore[]> {
    for (const [index, { tokens, from }] of sequences.entries()) {
      if (from < 1 || from >= tokens.length) throw scoringErrors.SCORE_RANGE({ index, from, length: tokens.length });
    }
    const groups = this.sharePrefixes
      ? groupByPrefix(sequences, this.batchTokens)
      : sequences.map(({ tokens }, index) => ({ prefix: 0, members: [index], cost: tokens.length - 1 }));
    const scores: SequenceScore[] = new Array(sequences.length);
    let done = 0;
    const finish = (members: readonly number[], losses: Float32Array, best: Int32Array) => {
      let row = 0;
      for (const index of members) {
        const targets = sequences[index]!.tokens.subarray(sequences[index]!.from);
        const end = row + targets.length;
        scores[index] = scoreOf(losses.slice(row, end), best.subarray(row, end), targets);
        row = end;
      }
      done += members.length;
      onProgress?.(done);
    };
    for (const batch of this.batches(groups.filter(({ prefix }) => prefix === 0))) {
      signal?.throwIfAborted();
      const members = batch.flatMap((group) => group.members);
      const rows = await this.scoreAlone(members.map((index) => sequences[index]!));
      finish(members, rows.losses, rows.best);
    }
    const shared = this.batches(groups.filter(({ prefix }) => prefix > 0)).map(
      (batch) => new SharedPrefixBatch(batch, sequences, this.model.device.properties.kvBlockSize),
    );
    if (shared.length === 0) return scores;
    const blocks = Math.max(...shared.map((batch) => batch.blocks));
    using cache = new KvCache(this.model.device, this.model.config, { blocks, dtype: this.model.dtype });
    for (const batch of shared) {
      signal?.throwIfAborted();
      const { losses, best } = await read(() => batch.run(this.model, cache));
      finish(batch.members, losses, best);
    }
    return scores;
  }

  /** Sequences end to end, nothing shared: losses and most likely tokens of the scored positions, one behind the other. */
  private async scoreAlone(sequences: readonly ScoredSequence[]): Promise<{ losses: Float32Array; best: Int32Array }> {
    const batch = packSequences(sequences.map(({ tokens }) => tokens.subarray(0, -1)));
    const labels = new Int32Array(batch.tokens.length).fill(ignoredLabel);
    sequences.forEach(({ tokens, from }, b) => {
      labels.set(tokens.subarray(from), batch.cuSeqlens[b]! + from - 1);
    });
    const all = await read(() => {
      const hidden = this.model.hidden(batch);
      return this.model.crossEntropy(hidden, labels, { outputs: { argmax: true } });
    });
    const scored = (_: number, row: number) => labels[row] !== ignoredLabel;
    return { losses: all.losses.filter(scored), best: all.best.filter(scored) };
  }

  /** Groups put together while they fit, those of like cost side by side, the most expensive first. */
  private batches(groups: readonly PrefixGroup[]): PrefixGroup[][] {
    const batches: PrefixGroup[][] = [];
    let room = 0;
    for (const group of [...groups].sort((a, b) => b.cost - a.cost)) {
      if (batches.length === 0 || group.cost > room) {
        batches.push([]);
        room = this.batchTokens;
      }
      batches.at(-1)!.push(group);
      room -= group.cost;
    }
    return batches;
  }
}

/** Runs a forward pass and brings back what it found for each row. */
async function read(
  forward: () => { nll: Tensor; argmax?: Tensor },
): Promise<{ losses: Float32Array; best: Int32Array }> {
  const { nll, argmax } = scope(() => {
    const result = forward();
    return { nll: result.nll, argmax: result.argmax! };
  });
  try {
    const [losses, best] = await Promise.all([nll.floats(), argmax.ints()]);
    return { losses, best };
  } finally {
    nll.dispose();
    argmax.dispose();
  }
}

/** Whether keys depend on how long their sequence becomes: then two sequences have none in common. */
function lengthDependent({ config }: CausalLanguageModel): boolean {
  const { rope, localRope, maxPositions } = config;
  return [rope, localRope ?? rope].some(
    (rotation) => frequencyLength(rotation, 1) !== frequencyLength(rotation, maxPositions),
  );
}
