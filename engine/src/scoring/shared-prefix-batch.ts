import type { PagedBatch } from '../models/batch.js';
import type { KvCache } from '../models/kv-cache.js';
import type { CausalLanguageModel } from '../models/model.js';
import type { CrossEntropyResult } from '../ops/loss.js';
import { scope } from '../tensor/scope.js';
import type { PrefixGroup } from './prefix-groups.js';
import type { ScoredSequence } from './sequence.js';

/** New tokens of one sequence, and the blocks of the cache that hold it. */
interface Run {
  readonly tokens: Int32Array;
  /** Position of the first of them. */
  readonly start: number;
  readonly table: readonly number[];
}

/**
 * Groups of sequences whose prefixes are computed first, once each, into a paged cache; then the rest of every sequence
 * runs over the blocks of its group's prefix. A block that the prefix fills in part is copied for each sequence.
 */
export class SharedPrefixBatch {
  /** Indices of the sequences, in the order of the results. */
  readonly members: readonly number[];
  /** Blocks of the cache that the batch needs. */
  readonly blocks: number;
  private readonly prefixes: readonly Run[];
  private readonly rests: readonly Run[];
  private readonly copies: readonly (readonly [from: number, to: number])[];
  private readonly labels: Int32Array;
  private readonly outputRows: Int32Array;

  constructor(
    groups: readonly PrefixGroup[],
    sequences: readonly ScoredSequence[],
    private readonly blockSize: number,
  ) {
    const prefixes: Run[] = [];
    const rests: Run[] = [];
    const copies: [number, number][] = [];
    const labels: number[] = [];
    const outputRows: number[] = [];
    let blocks = 0;
    let row = 0;
    const take = (count: number) => Array.from({ length: count }, () => blocks++);
    for (const { prefix, members } of groups) {
      const full = Math.floor(prefix / blockSize);
      const table = take(Math.ceil(prefix / blockSize));
      prefixes.push({ tokens: sequences[members[0]!]!.tokens.subarray(0, prefix), start: 0, table });
      for (const index of members) {
        const { tokens, from } = sequences[index]!;
        const own = take(Math.ceil((tokens.length - 1) / blockSize) - full);
        if (full < table.length) copies.push([table[full]!, own[0]!]);
        rests.push({ tokens: tokens.subarray(prefix, -1), start: prefix, table: [...table.slice(0, full), ...own] });
        for (let position = from; position < tokens.length; position++) {
          outputRows.push(row + position - 1 - prefix);
          labels.push(tokens[position]!);
        }
        row += tokens.length - 1 - prefix;
      }
    }
    this.members = groups.flatMap((group) => group.members);
    this.blocks = blocks;
    this.prefixes = prefixes;
    this.rests = rests;
    this.copies = copies;
    this.labels = Int32Array.from(labels);
    this.outputRows = Int32Array.from(outputRows);
  }

  /** Records both passes; the results have one row a scored token. */
  run(model: CausalLanguageModel, cache: KvCache): CrossEntropyResult {
    scope(() => {
      // Its hidden states are of no use, but one row must be asked for.
      model.decode(pagedBatch(this.prefixes, this.blockSize, Int32Array.of(0)), cache);
      cache.copyBlocks(this.copies);
    });
    const hidden = model.decode(pagedBatch(this.rests, this.blockSize, this.outputRows), cache);
    return model.crossEntropy(hidden, this.labels, { outputs: { argmax: true } });
  }
}

function pagedBatch(runs: readonly Run[], blockSize: number, outputRows: Int32Array): PagedBatch {
  const total = runs.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const tokens = new Int32Array(total);
  const positions = new Int32Array(total);
  const slots = new Int32Array(total);
  const cuSeqlens = new Int32Array(runs.length + 1);
  const maxBlocks = Math.max(...runs.map(({ table }) => table.length));
  const blockTable = new Int32Array(runs.length * maxBlocks);
  let row = 0;
  runs.forEach((run, b) => {
    blockTable.set(run.table, b * maxBlocks);
    tokens.set(run.tokens, row);
    for (let i = 0; i < run.tokens.length; i++, row++) {
      const position = run.start + i;
      positions[row] = position;
      slots[row] = run.table[Math.floor(position / blockSize)]! * blockSize + (position % blockSize);
    }
    cuSeqlens[b + 1] = row;
  });
  const context = Int32Array.from(runs, (run) => run.start + run.tokens.length);
  return { tokens, positions, cuSeqlens, context, slots, blockTable, maxBlocks, outputRows };
}
