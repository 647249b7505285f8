import { createHash } from 'node:crypto';
import { permutation, type RowSource, streamOf, type TokenRow } from '@largeforge/engine';

/** A piece of a document, and the domain that it is of, by its index. */
export interface DomainRow extends TokenRow {
  readonly domain: number;
}

/** A domain's documents. */
export interface Domain {
  readonly name: string;
  readonly rows: RowSource<TokenRow>;
}

/** The rows of several domains as one source: those of the first, then those of the second ... */
export function joinedDomains(domains: readonly Domain[]): RowSource<DomainRow> {
  const starts = startsOf(domains);
  const total = starts.at(-1) as number;
  const lengths = new Uint32Array(total);
  for (const [d, { rows }] of domains.entries()) {
    for (let i = 0; i < rows.lengths.length; i++) lengths[(starts[d] as number) + i] = rows.lengths[i] as number;
  }
  const identity = domains.map(({ name, rows }) => `${name} ${rows.fingerprint}`).join('\n');
  return {
    fingerprint: createHash('sha256').update(identity).digest('hex'),
    lengths,
    async read(indices) {
      const places = Array.from(indices, (row) => {
        const domain = starts.findLastIndex((start) => start <= row);
        return { domain, row: row - (starts[domain] as number) };
      });
      const read = new Map<number, TokenRow[]>();
      for (const [d, { rows }] of domains.entries()) {
        const wanted = places.filter(({ domain }) => domain === d).map(({ row }) => row);
        if (wanted.length > 0) read.set(d, [...(await rows.read(wanted))]);
      }
      // The rows of each domain come back in the order in which they were asked for.
      return places.map(({ domain }) => ({ ...(read.get(domain)?.shift() as TokenRow), domain }));
    },
  };
}

/** Index of each domain's first row among the joined ones, and the number of all rows. */
export function startsOf(domains: readonly Domain[]): number[] {
  const starts = [0];
  for (const { rows } of domains) starts.push((starts.at(-1) as number) + rows.lengths.length);
  return starts;
}

/** A part of a run: so many tokens, of which each domain has a share. */
export interface Stage {
  readonly tokens: number;
  /** One a domain; they add up to 1. */
  readonly shares: readonly number[];
}

/**
 * Rows of a run in order: in each stage every domain gives its share of the tokens, shuffled among each other. A domain
 * goes on where it stood in the stage before, and begins again in another order when it is used up.
 * @param lengths tokens of each joined row
 * @param starts of the domains, as `startsOf` gives them
 */
export function drawStages(
  stages: readonly Stage[],
  lengths: ArrayLike<number>,
  starts: readonly number[],
  seed: number,
): Uint32Array {
  const readers = starts
    .slice(0, -1)
    .map((start, d) => new DomainReader(start, (starts[d + 1] as number) - start, seed, d));
  const parts: Uint32Array[] = [];
  for (const [s, { tokens, shares }] of stages.entries()) {
    const drawn: number[] = [];
    for (const [d, share] of shares.entries()) {
      const reader = readers[d] as DomainReader;
      for (let left = Math.round(share * tokens); left > 0; ) {
        const row = reader.next();
        drawn.push(row);
        left -= lengths[row] as number;
      }
    }
    const order = permutation(drawn.length, seed, streamOf('shuffle', s));
    parts.push(order.map((i) => drawn[i] as number));
  }
  const all = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Rows of a domain, each once in a pass, every pass in an order of its own. */
class DomainReader {
  private order: Uint32Array = new Uint32Array(0);
  private at = 0;
  private pass = 0;

  constructor(
    private readonly start: number,
    private readonly rows: number,
    private readonly seed: number,
    private readonly domain: number,
  ) {}

  next(): number {
    if (this.at === this.order.length) {
      this.order = permutation(this.rows, this.seed, streamOf('mixture', (this.domain << 14) | (this.pass++ & 0x3fff)));
      this.at = 0;
    }
    return this.start + (this.order[this.at++] as number);
  }
}
