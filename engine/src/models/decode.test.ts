import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as commands from '../device/commands/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { packSequences } from './batch.js';
import { CAUSAL, difference, fixture, golden, goldenFiles, readTensors } from './golden.fixture.js';
import { KvCache, type KvCacheType } from './kv-cache.js';
import { asCausal, loadModelFiles } from './load.js';
import type { CausalLanguageModel } from './model.js';

const MODELS = [
  ...CAUSAL.map((name) => [name, name] as const),
  ...['yarn', 'dynamic', 'longrope'].map((name) => [`rotation-${name}`, 'llama-tied'] as const),
];
const BLOCK = 4;

let device: Device;
beforeAll(() => {
  device = cpuDevice();
});
afterAll(() => device.close());

function load(name: string, weights: string): CausalLanguageModel {
  return asCausal(loadModelFiles(device, goldenFiles(name, { weights }), { dtype: 'f32' }));
}

/** Logits of every position, computed over a cache in steps: `plan[step]` says how many tokens of each sequence. */
async function decodeInSteps(
  model: CausalLanguageModel,
  sequences: Int32Array[],
  plan: number[][],
  dtype: KvCacheType = 'f32',
): Promise<Float32Array[][]> {
  const maxBlocks = Math.ceil(Math.max(...sequences.map((s) => s.length)) / BLOCK);
  // Blocks are dealt out in a scrambled order: nothing may rely on neighbours.
  const count = maxBlocks * sequences.length;
  const blockOf = (b: number, i: number) => (7 * (b * maxBlocks + i) + 3) % count;
  expect(new Set(Array.from({ length: count }, (_, i) => blockOf(0, i))).size).toBe(count);
  using cache = new KvCache(device, model.config, { blocks: count, blockSize: BLOCK, dtype });
  const done = sequences.map(() => 0);
  const rows: Float32Array[][] = sequences.map(() => []);
  for (const counts of plan) {
    const active = counts.flatMap((n, b) => (n > 0 ? [b] : []));
    const each = active.flatMap((b) => Array.from({ length: counts[b]! }, (_, i) => ({ b, position: done[b]! + i })));
    const starts = active.map((_, i) => active.slice(0, i).reduce((sum, b) => sum + counts[b]!, 0));
    using hidden = model.decode(
      {
        tokens: Int32Array.from(each, ({ b, position }) => sequences[b]![position]!),
        positions: Int32Array.from(each, ({ position }) => position),
        cuSeqlens: Int32Array.from([...starts, each.length]),
        context: Int32Array.from(active, (b) => done[b]! + counts[b]!),
        fullLengths: Int32Array.from(active, (b) => sequences[b]!.length),
        slots: Int32Array.from(
          each,
          ({ b, position }) => blockOf(b, Math.floor(position / BLOCK)) * BLOCK + (position % BLOCK),
        ),
        blockTable: Int32Array.from(active.flatMap((b) => Array.from({ length: maxBlocks }, (_, i) => blockOf(b, i)))),
        maxBlocks,
        outputRows: Int32Array.from(each.keys()),
      },
      cache,
    );
    using logits = model.logits(hidden);
    const values = await logits.floats();
    const width = model.config.vocabSize;
    each.forEach(({ b }, row) => void rows[b]!.push(values.slice(row * width, (row + 1) * width)));
    for (const b of active) done[b]! += counts[b]!;
  }
  return rows;
}

describe.each(MODELS)('%s over a cache gives the logits of the whole sequence', (name, weights) => {
  const expected = () => {
    const { lengths, sequences, ...rest } = golden(name);
    const logits = rest.floats('logits');
    const width = 64;
    let row = 0;
    const each = lengths.map((length) => Array.from({ length }, () => logits.subarray(row * width, ++row * width)));
    return { lengths, sequences, each };
  };
  const compare = async (planOf: (lengths: number[]) => number[][]) => {
    const { lengths, sequences, each } = expected();
    using model = load(name, weights);
    const rows = await decodeInSteps(model, sequences, planOf(lengths));
    rows.forEach((own, b) => {
      expect(own.length).toBe(lengths[b]);
      own.forEach((row, position) => {
        expect(difference(row, each[b]![position]!), `sequence ${b}, position ${position}`).toBeLessThan(1e-4);
      });
    });
  };

  test('token by token', () =>
    compare((lengths) =>
      Array.from({ length: Math.max(...lengths) }, (_, step) => lengths.map((n) => (step < n ? 1 : 0))),
    ));

  test('in one prefill', () => compare((lengths) => [lengths]));

  test('in chunks that cross blocks, sequences joining late, prefill and decode in one step', () =>
    compare((lengths) => {
      const left = [...lengths];
      const plan: number[][] = [];
      for (let step = 0; left.some((n) => n > 0); step++) {
        const counts = left.map((n, b) => (step < b ? 0 : Math.min(n, (step + b) % 3 === 0 ? 5 : 1)));
        counts.forEach((n, b) => {
          left[b]! -= n;
        });
        plan.push(counts);
      }
      return plan;
    }));
});

test.each([
  ['mistral', 'mistral'],
  ['rotation-dynamic', 'llama-tied'],
  ['rotation-longrope', 'llama-tied'],
])('sequences packed into one batch give what each gives alone: %s', async (name, weights) => {
  using model = load(name, weights);
  const long = golden(name).sequences[0]!;
  const sequences = [long, long.slice(0, 5), long.slice(2)];
  using packed = model.hidden(packSequences(sequences));
  const together = await packed.floats();
  const apart: number[] = [];
  for (const sequence of sequences) {
    using hidden = model.hidden(packSequences([sequence]));
    apart.push(...(await hidden.floats()));
  }
  expect(difference(together, apart)).toBeLessThan(1e-5);
});

test.each(['llama', 'gemma2', 'phi3'])('%s reads from a cache in 8 bits what transformers does', async (name) => {
  const { lengths, sequences } = golden(name);
  const expected = readTensors(fixture(`${name}/int8-cache.safetensors`)).floats('logits');
  using model = load(name, name);
  const tokenByToken = Array.from({ length: Math.max(...lengths) }, (_, i) => lengths.map((n) => (i < n ? 1 : 0)));
  for (const plan of [[lengths], tokenByToken]) {
    const rows = (await decodeInSteps(model, sequences, plan, 'i8')).flat(1);
    expect(difference(Float32Array.from(rows.flatMap((row) => [...row])), expected)).toBeLessThan(1e-4);
  }
});

test.each(['f32', 'i8'] as const)('blocks of a cache of %s can be copied', async (dtype) => {
  using model = load('llama', 'llama');
  const tokens = golden('llama').sequences[0]!.slice(0, 8);
  using cache = new KvCache(device, model.config, { blocks: 4, blockSize: BLOCK, dtype });
  const step = (from: number, to: number, blocks: number[]) =>
    model.decode(
      {
        tokens: tokens.slice(from, to),
        positions: Int32Array.from({ length: to - from }, (_, i) => from + i),
        cuSeqlens: Int32Array.of(0, to - from),
        context: Int32Array.of(to),
        slots: Int32Array.from(
          { length: to - from },
          (_, i) => blocks[Math.floor((from + i) / BLOCK)]! * BLOCK + ((from + i) % BLOCK),
        ),
        blockTable: Int32Array.from(blocks),
        maxBlocks: blocks.length,
        outputRows: Int32Array.of(to - from - 1),
      },
      cache,
    );
  step(0, 6, [0, 1]).dispose();
  cache.copyBlocks([
    [0, 3],
    [1, 2],
  ]);
  using original = step(6, 8, [0, 1]);
  using copied = step(6, 8, [3, 2]);
  expect(await copied.floats()).toEqual(await original.floats());
});

test('rows without a slot leave the cache as it is', async () => {
  using model = load('llama', 'llama');
  using cache = new KvCache(device, model.config, { blocks: 2, blockSize: BLOCK });
  commands.fill(device.recorder, 0.5, cache.elements);
  const before = await cache.elements.floats();
  model
    .decode(
      {
        tokens: Int32Array.of(3),
        positions: Int32Array.of(0),
        cuSeqlens: Int32Array.of(0, 1),
        context: Int32Array.of(1),
        slots: Int32Array.of(-1),
        blockTable: Int32Array.of(0),
        maxBlocks: 1,
        outputRows: Int32Array.of(0),
      },
      cache,
    )
    .dispose();
  expect(await cache.elements.floats()).toEqual(before);
});
