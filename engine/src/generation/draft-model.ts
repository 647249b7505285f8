import type { CausalLanguageModel } from '../models/model.js';
import { BlockPool } from './block-pool.js';
import { generationErrors } from './errors.js';
import type { StepExecutor } from './executor.js';
import { ModelExecutor } from './model-executor.js';
import { greedy } from './request.js';
import { samplingRows } from './sampling-rows.js';
import type { ScheduledSequence } from './scheduler.js';
import { Sequence } from './sequence.js';
import type { DraftProposer } from './speculation.js';
import { layOutStep } from './step-batch.js';

export interface DraftModelOptions {
  /** Tokens guessed at once. */
  readonly tokens?: number;
  /** Sequences that shall fit in its cache at their full length. */
  readonly maxSequences?: number;
  /** Bytes of its key-value cache. */
  readonly cacheBytes?: number;
  /** Vocabulary of the model that it guesses for. */
  readonly vocabSize: number;
}

/** Tokens of a prompt that the draft model reads between two steps. */
const CHUNK = 128;

/**
 * Guesses with a smaller model of the same vocabulary, greedily (Leviathan et al. 2023; Chen et al. 2023). It keeps a
 * cache of its own, in which a guess that was not taken is written over by the next one.
 */
export class DraftModel implements DraftProposer {
  private readonly executor: StepExecutor;
  private readonly pool: BlockPool;
  private readonly tokens: number;
  private readonly mirrors = new Map<Sequence, Sequence>();

  /** Throws LF_ENGINE_DRAFT_VOCABULARY when the models cannot share tokens, and LF_ENGINE_CACHE_TOO_SMALL. */
  constructor(
    model: CausalLanguageModel,
    { tokens = 4, maxSequences = 8, cacheBytes, vocabSize }: DraftModelOptions,
    executor: StepExecutor = new ModelExecutor(model, { maxSequences, cacheBytes }),
  ) {
    if (executor.vocabSize !== vocabSize) {
      executor.close();
      throw generationErrors.DRAFT_VOCABULARY({ draft: executor.vocabSize, model: vocabSize });
    }
    this.executor = executor;
    this.tokens = tokens;
    this.pool = new BlockPool(executor.blockCount);
  }

  async propose(sequences: readonly Sequence[], limit: (sequence: Sequence) => number): Promise<readonly number[][]> {
    const drafts = new Map<Sequence, number[]>(sequences.map((sequence) => [sequence, []]));
    let active = sequences.filter((sequence) => limit(sequence) > 0 && this.catchUp(sequence));
    while (active.length > 0) {
      const drawn = await this.step(active);
      active = active.filter((sequence) => {
        const token = drawn.get(sequence);
        if (token === undefined) return false; // it has not read the prompt yet: streams wait for no more than a chunk
        const draft = drafts.get(sequence)!;
        draft.push(token);
        this.mirrors.get(sequence)!.tokens.push(token);
        return draft.length < Math.min(this.tokens, limit(sequence)) && this.reserve(sequence);
      });
    }
    return sequences.map((sequence) => drafts.get(sequence)!);
  }

  release(sequence: Sequence): void {
    const mirror = this.mirrors.get(sequence);
    if (!mirror) return;
    this.pool.release(mirror.blocks);
    this.mirrors.delete(sequence);
  }

  close(): void {
    this.executor.close();
  }

  /** Brings the mirror of a sequence to the tokens that it has now. False when there is no room for it. */
  private catchUp(sequence: Sequence): boolean {
    let mirror = this.mirrors.get(sequence);
    if (!mirror) {
      mirror = new Sequence(sequence.id, { promptTokens: sequence.tokens, sampling: greedy, maxTokens: 1 }, 0);
      this.mirrors.set(sequence, mirror);
    }
    let common = 0;
    while (common < mirror.tokens.length && mirror.tokens[common] === sequence.tokens[common]) common++;
    mirror.tokens.length = common;
    for (let i = common; i < sequence.tokens.length; i++) mirror.tokens.push(sequence.tokens[i]!);
    mirror.computed = Math.min(mirror.computed, common, mirror.tokens.length - 1);
    return this.reserve(sequence);
  }

  private reserve(sequence: Sequence): boolean {
    const mirror = this.mirrors.get(sequence);
    if (!mirror) return false; // it ended meanwhile
    const missing = Math.ceil(mirror.tokens.length / this.executor.blockSize) - mirror.blocks.length;
    const blocks = missing > 0 ? this.pool.allocate(missing) : [];
    if (!blocks) {
      this.release(sequence);
      return false;
    }
    mirror.blocks.push(...blocks);
    return true;
  }

  private async step(active: readonly Sequence[]): Promise<Map<Sequence, number>> {
    const owners = new Map(active.map((sequence) => [this.mirrors.get(sequence)!, sequence]));
    const scheduled: ScheduledSequence[] = [...owners.keys()].map((mirror) => ({
      sequence: mirror,
      count: Math.min(mirror.pending, CHUNK),
    }));
    const batch = layOutStep(scheduled, this.executor.blockSize);
    const rows = samplingRows(
      batch.draws,
      () => [0, 0],
      () => undefined,
      this.executor.vocabSize,
    );
    const { tokens } = await this.executor.execute(batch, rows);
    for (const { sequence, count } of scheduled) sequence.computed += count;
    return new Map(batch.draws.map(({ sequence }, row) => [owners.get(sequence)!, tokens[row]!]));
  }
}
