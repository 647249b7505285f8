import { tableFromIPC } from 'apache-arrow';
import { describe, expect, it } from 'vitest';
import { encodeShard } from './shard.js';

describe('encodeShard', () => {
  const columns = {
    offsets: Int32Array.of(0, 3, 3, 8),
    tokens: Int32Array.of(5, 6, 7, -1, 70000, 2, 3, 4),
    mask: Uint8Array.of(0, 1, 1, 0, 0, 1, 1, 1),
    lines: Uint32Array.of(1, 2, 9),
    verdicts: Uint8Array.of(1, 2, 0),
  };

  it('writes a file that Arrow reads back', () => {
    const table = tableFromIPC(encodeShard(columns).bytes);
    expect(table.numRows).toBe(3);
    expect([...(table.get(2)!.tokens as Iterable<number>)]).toEqual([-1, 70000, 2, 3, 4]);
    expect([...(table.get(0)!.mask as Iterable<number>)]).toEqual([0, 1, 1]);
    expect(table.get(2)?.line).toBe(9);
  });

  it('says where its columns lie', () => {
    const { bytes, places } = encodeShard(columns);
    const copy = bytes.slice().buffer;
    expect(new Int32Array(copy, places.offsets, 4)).toEqual(columns.offsets);
    expect(new Int32Array(copy, places.tokens, 8)).toEqual(columns.tokens);
    expect(new Uint8Array(copy, places.mask, 8)).toEqual(columns.mask);
  });
});
