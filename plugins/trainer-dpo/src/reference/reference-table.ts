import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PairRow } from '@largeforge/data';
import { type RowSource, writeFolder } from '@largeforge/engine';
import type { ReferredPair } from '../pair-objective.js';

/** Log-probabilities of the two answers of each of some pairs: chosen at 2i, rejected at 2i + 1. */
export type AskReference = (pairs: readonly PairRow[]) => Promise<readonly number[]>;

/** Log-probabilities that a reference gives the answers of all pairs of a source, computed once and kept on disk. */
export class ReferenceTable {
  private values: Float64Array | undefined;
  private readonly path: string;

  /** @param identity everything that decides the values, in words: two runs with equal words share a table */
  constructor(
    private readonly source: RowSource<PairRow>,
    cacheFolder: string,
    identity: string,
  ) {
    const hash = createHash('sha256').update(`${identity}\n${source.fingerprint}`).digest('hex');
    this.path = join(cacheFolder, `reference-${hash.slice(0, 32)}`);
  }

  /** The pairs with what the table says of them; without it before the table is filled. */
  get rows(): RowSource<ReferredPair> {
    const { source } = this;
    return {
      fingerprint: source.fingerprint,
      lengths: source.lengths,
      read: async (indices) => {
        const pairs = await source.read(indices);
        const { values } = this;
        if (!values) return pairs;
        return pairs.map((pair, i) => {
          const at = 2 * (indices[i] as number);
          return { ...pair, reference: { chosen: values[at] as number, rejected: values[at + 1] as number } };
        });
      },
    };
  }

  /**
   * Takes the table from the cache, or asks the reference for every pair, in batches of about `batchTokens` tokens.
   * @throws the reason of `signal`; nothing is kept then
   */
  async fill(
    ask: AskReference,
    options: { batchTokens: number; signal: AbortSignal; onProgress: (pairs: number) => void },
  ): Promise<void> {
    const { lengths } = this.source;
    this.values = await this.cached();
    if (this.values) return;
    const values = new Float64Array(2 * lengths.length);
    for (let from = 0; from < lengths.length; ) {
      options.signal.throwIfAborted();
      let to = from;
      let tokens = 0;
      do tokens += lengths[to++] as number;
      while (to < lengths.length && tokens + (lengths[to] as number) <= options.batchTokens);
      const indices = Array.from({ length: to - from }, (_, i) => from + i);
      values.set(await ask(await this.source.read(indices)), 2 * from);
      from = to;
      options.onProgress(from);
    }
    await writeFolder(this.path, (folder) => writeFile(join(folder, fileName), new Uint8Array(values.buffer)));
    this.values = values;
  }

  private async cached(): Promise<Float64Array | undefined> {
    const bytes = await readFile(join(this.path, fileName)).catch(() => undefined);
    // A table of another length would be damaged: it is made again.
    if (bytes?.length !== 16 * this.source.lengths.length) return undefined;
    return new Float64Array(new Uint8Array(bytes).buffer);
  }
}

const fileName = 'log_probabilities.f64';
