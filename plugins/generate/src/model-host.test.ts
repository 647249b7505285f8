import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locateLibrary } from '@largeforge/backend-cpu';
import { greedy } from '@largeforge/engine';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { writeRandomAdapter } from '../test/random-adapter.js';
import { ModelHost } from './model-host.js';
import type { GenerateOptions } from './options.js';

const base = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'largeforge-adapters-'));
let red: string;
let blue: string;
beforeAll(async () => {
  red = await writeRandomAdapter(join(folder, 'red'), base, { rank: 4, seed: 1 });
  blue = await writeRandomAdapter(join(folder, 'blue'), base, { rank: 9, seed: 2 });
});
afterAll(() => rmSync(folder, { recursive: true }));

function makeHost(settings: Partial<GenerateOptions> & { maxAdapterRank: number } = { maxAdapterRank: 16 }): ModelHost {
  const backend = async () => ({ id: 'cpu', library: locateLibrary() });
  const host = new ModelHost(backend, { batchInvariant: true, ...settings });
  onTestFinished(() => host.close());
  return host;
}

/** The tokens that a model continues a text with. */
async function continuation(host: ModelHost, id: string, text: string, maxTokens = 40) {
  const model = await host.get(id);
  // Without waiting for the tokenizer: requests that are made together arrive together.
  const promptTokens = Array.from(text, (_, i) => 5 + text.charCodeAt(i));
  const tokens: number[] = [];
  for await (const event of model.generate({ promptTokens, maxTokens, sampling: greedy, ignoreEos: true })) {
    if (event.type === 'token') tokens.push(...event.tokens);
  }
  return tokens;
}

const texts = ['please add milk', 'set an alarm for', 'the weather in'];

describe('a model on several devices', () => {
  it('continues texts as on one, with the same weights', async () => {
    const [one, two] = [makeHost(), makeHost({ maxAdapterRank: 16, tensorParallel: 2 })];
    for (const host of [one, two]) await host.load({ path: base, id: 'm', weights: 'f32' });
    for (const text of texts) expect(await continuation(two, 'm', text)).toEqual(await continuation(one, 'm', text));
    const { kind, memoryUsedBytes } = (await two.get('m')).stats().device!;
    expect(kind).toBe('cpu');
    expect(memoryUsedBytes).toBeGreaterThan(0);
  });

  it('refuses what it cannot serve with it', async () => {
    const host = makeHost({ maxAdapterRank: 16, tensorParallel: 2 });
    await host.load({ path: base, id: 'm' });
    await expect(host.load({ path: red, id: 'r', base: 'm' })).rejects.toMatchObject({
      code: 'LF_MODEL_TENSOR_PARALLEL',
    });
  });

  describe('of a GPU backend', () => {
    const built = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
    const library = built('plugins/backend-cuda/build/liblargeforge_cuda_emulated.so');
    const host = (environment: Record<string, string>) => {
      Object.assign(process.env, { LF_CUDA_DRIVER: built('engine/build/libfake_gpu_driver.so') }, environment);
      const made = new ModelHost(async () => ({ id: 'cuda', library }), { maxAdapterRank: 16, tensorParallel: 2 });
      onTestFinished(() => made.close());
      return made;
    };

    it('says how many there are', async () => {
      await expect(host({ LF_EMULATED_DEVICES: '1' }).load({ path: base })).rejects.toMatchObject({
        code: 'LF_MODEL_TOO_FEW_DEVICES',
        message: 'tensorParallel asks for 2 devices from number 0 on, and there are 1',
      });
    });

    it('says that NCCL is missing, and how to get it', async () => {
      const environment = { LF_EMULATED_DEVICES: '2', LF_CUDA_NCCL: '/no/such/libnccl.so' };
      await expect(host(environment).load({ path: base })).rejects.toMatchObject({
        code: 'LF_ENGINE_DEVICE_GROUP',
        message: expect.stringMatching(
          /NCCL, .* was not found \(.*\/no\/such.*\)\. Install it .*libnccl2.*LF_CUDA_NCCL/,
        ),
      });
    });
  });
});

describe('a model host', () => {
  it('keeps keys and values in 8 bits where it is asked to', async () => {
    const usage = async (cacheType: 'model' | 'int8') => {
      const host = makeHost({ maxAdapterRank: 16, cacheMiB: 2, cacheType });
      const { id } = await host.load({ path: base });
      const model = await host.get(id);
      let most = 0;
      for await (const _ of model.generate({
        promptTokens: [5, 6, 7],
        maxTokens: 300,
        sampling: greedy,
        ignoreEos: true,
      }))
        most = Math.max(most, model.stats().cacheUsage!);
      return most;
    };
    const [whole, codes] = [await usage('model'), await usage('int8')];
    expect(codes).toBeGreaterThan(0);
    expect(codes / whole).toBeLessThan(0.7);
  });

  it('serves a base model and its adapters from one batch, each as it is alone', async () => {
    const alone = new Map<string, number[][]>();
    for (const path of [base, red, blue]) {
      const host = makeHost();
      const { id } = await host.load({ path, id: 'only' });
      const streams: number[][] = [];
      for (const text of texts) streams.push(await continuation(host, id, text));
      alone.set(path, streams);
    }
    expect(new Set([...alone.values()].map((streams) => JSON.stringify(streams))).size).toBe(3);

    const host = makeHost();
    await host.load({ path: base });
    await host.load({ path: red });
    await host.load({ path: blue, id: 'colours/blue', base: 'base' });
    expect(host.list().map(({ id, parent }) => [id, parent])).toEqual([
      ['base', undefined],
      ['red', 'base'],
      ['colours/blue', 'base'],
    ]);
    const names = { base, red, 'colours/blue': blue };
    const model = await host.get('base');
    let company = 0;
    const watch = setInterval(() => {
      company = Math.max(company, model.stats().running);
    });
    await Promise.all(
      Object.entries(names).flatMap(([id, path]) =>
        texts.map(async (text, i) => {
          expect(await continuation(host, id, text)).toEqual(alone.get(path)![i]);
        }),
      ),
    );
    clearInterval(watch);
    // Of three streams a model: at least two models in one batch.
    expect(company).toBeGreaterThan(3);
  });

  it('loads and unloads adapters while others generate, and waits for what runs', async () => {
    const host = makeHost();
    await host.load({ path: base });
    await host.load({ path: red });
    const before = await continuation(host, 'base', texts[0]!, 60);
    const redBefore = await continuation(host, 'red', texts[1]!, 60);
    const held = await host.get('red');
    const running = continuation(host, 'base', texts[0]!, 60);
    const redRunning = continuation(host, 'red', texts[1]!, 60);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const gone = host.unload('red');
    await expect(host.get('red')).rejects.toMatchObject({ code: 'LF_MODEL_NOT_SERVED' });
    await host.load({ path: blue });
    await gone;
    await host.load({ path: red, id: 'again' });
    expect(await running).toEqual(before);
    expect(await redRunning).toEqual(redBefore);
    expect(await continuation(host, 'again', texts[1]!, 60)).toEqual(redBefore);
    expect(() => held.generate({ promptTokens: [5], maxTokens: 1, sampling: greedy })).toThrow(/"red" was unloaded/);
  });

  it('unloads adapters with their base model, and the base model of an adapter with it', async () => {
    const host = makeHost();
    await host.load({ path: red });
    expect(host.list()).toMatchObject([{ id: 'red', parent: base }]);
    await host.load({ path: blue });
    await host.unload('red');
    expect(await continuation(host, 'blue', texts[0]!)).toHaveLength(40);
    await host.unload('blue');
    await host.load({ path: base });
    await host.load({ path: blue });
    const cut = expect(continuation(host, 'blue', texts[0]!, 500)).rejects.toMatchObject({
      code: expect.stringMatching(/LF_ENGINE_CLOSED|LF_MODEL_NOT_SERVED/),
    });
    await host.unload('base');
    await cut;
    expect(host.list()).toEqual([]);
  });

  it('serves a mixture of models and adapters of one vocabulary as one model', async () => {
    const host = makeHost();
    await host.load({ path: red, id: 'red' });
    await host.load({ path: red, id: 'mostly red', mixedWith: [{ path: blue, weight: 0.001 }] });
    await host.load({
      path: blue,
      id: 'both',
      mixedWith: [
        { path: red, weight: 1 },
        { path: base, weight: 1 },
      ],
    });
    expect(host.list().map(({ parent }) => parent)).toEqual([base, undefined, undefined]);
    const streams = new Map<string, number[]>();
    for (const id of ['red', 'mostly red', 'both']) streams.set(id, await continuation(host, id, texts[0]!));
    expect(streams.get('mostly red')!.slice(0, 8)).toEqual(streams.get('red')!.slice(0, 8));
    expect(streams.get('both')).not.toEqual(streams.get('red'));
    expect((await host.get('both')).embedding).toBeUndefined();
    await expect(host.load({ path: blue, base: 'both', id: 'x' })).rejects.toMatchObject({
      code: 'LF_MODEL_MIXED_ADAPTER',
    });
    // A mixture is no base model that an adapter could join.
    await host.load({ path: blue, id: 'blue' });
    expect(await continuation(host, 'blue', texts[1]!)).toHaveLength(40);
    await host.unload('both');
    expect(host.list().map(({ id }) => id)).toEqual(['red', 'mostly red', 'blue']);
  });

  it('refuses to mix models of different vocabularies, and serves on', async () => {
    const host = makeHost();
    await host.load({ path: base });
    const other = join(folder, 'other');
    cpSync(base, other, { recursive: true });
    const file = join(other, 'tokenizer.json');
    const tokenizer = JSON.parse(readFileSync(file, 'utf8'));
    const { vocab } = tokenizer.model;
    const [a, b] = Object.keys(vocab).filter((token) => /^[a-z]$/.test(token)) as [string, string];
    [vocab[a], vocab[b]] = [vocab[b], vocab[a]];
    writeFileSync(file, JSON.stringify(tokenizer));
    const mixed = host.load({ path: base, id: 'mixed', mixedWith: [{ path: other, weight: 1 }] });
    await expect(mixed).rejects.toThrow(/other cannot be mixed with .*base: its token \d+ is another one/);
    expect(await continuation(host, 'base', texts[0]!)).toHaveLength(40);
  });

  it('guesses ahead with a draft model or from repetitions, and gives the same text', async () => {
    const host = makeHost();
    await host.load({ path: base });
    await host.load({ path: base, id: 'drafted', speculation: { draft: red, tokens: 3 } });
    await host.load({ path: base, id: 'looked up', speculation: { lookup: true } });
    for (const text of texts) {
      const expected = await continuation(host, 'base', text);
      expect(await continuation(host, 'drafted', text)).toEqual(expected);
      expect(await continuation(host, 'looked up', text)).toEqual(expected);
    }
    const other = join(folder, 'other-tokens');
    cpSync(base, other, { recursive: true });
    const file = join(other, 'tokenizer.json');
    const tokenizer = JSON.parse(readFileSync(file, 'utf8'));
    tokenizer.added_tokens.push({ ...tokenizer.added_tokens[0], id: 768, content: '<more>' });
    writeFileSync(file, JSON.stringify(tokenizer));
    const spec = { path: base, id: 'wrong', speculation: { draft: other } };
    await expect(host.load(spec)).rejects.toMatchObject({ code: 'LF_MODEL_DRAFT_VOCABULARY' });
  });

  it.each([
    ['a name that is taken', () => ({ path: base }), 'LF_MODEL_NAME_TAKEN'],
    ['a base that is not loaded', () => ({ path: red, base: 'nowhere' }), 'LF_MODEL_NOT_SERVED'],
    ['a whole model as an adapter', () => ({ path: base, id: 'b', base: 'base' }), 'LF_MODEL_NOT_AN_ADAPTER'],
    ['too large a rank', () => ({ path: blue }), 'LF_MODEL_ADAPTER_RANK'],
  ])('refuses %s, and serves on', async (_what, spec, code) => {
    const host = makeHost({ maxAdapterRank: 8 });
    await host.load({ path: base });
    await expect(host.load(spec())).rejects.toMatchObject({ code });
    expect(await continuation(host, 'base', texts[0]!)).toHaveLength(40);
  });
});
