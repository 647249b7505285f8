import { locateLibrary } from '@largeforge/backend-cpu';
import { type Device, type EncoderModel, loadModelFiles, openDevice, packSequences, scope } from '@largeforge/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { golden, goldenFiles } from '../../../../engine/src/models/golden.fixture.js';
import { TextEmbedder } from './text-embedder.js';

let device: Device;
let model: EncoderModel;
const expected = golden('bert');
const texts = expected.lengths.map((length, i) => {
  const start = expected.batch.cuSeqlens[i] as number;
  return expected.batch.tokens.slice(start, start + length);
});
beforeAll(() => {
  device = openDevice({ library: locateLibrary(), threads: 1 });
  model = loadModelFiles(device, goldenFiles('bert'), { dtype: 'f32' }) as EncoderModel;
});
afterAll(() => device[Symbol.dispose]());

const differences = (vectors: readonly Float32Array[], wanted: Float32Array) =>
  Math.max(
    ...vectors.flatMap((vector, i) =>
      [...vector].map((x, j) => Math.abs(x - (wanted[i * vector.length + j] as number))),
    ),
  );

describe('vectors of texts', () => {
  it("are transformers' means, as unit vectors and not", async () => {
    const unit = await new TextEmbedder(model, { of: 'mean', normalize: true }).embed(texts);
    expect(differences(unit, expected.floats('normalized'))).toBeLessThan(1e-4);
    const plain = await new TextEmbedder(model, { of: 'mean', normalize: false }).embed(texts);
    expect(differences(plain, expected.floats('pooled'))).toBeLessThan(1e-4);
  });

  it('are the states of the first tokens where an encoder was made so', async () => {
    const vectors = await new TextEmbedder(model, { of: 'cls', normalize: false }).embed(texts);
    const hidden = expected.floats('hidden');
    const size = model.config.hiddenSize;
    for (const [i, vector] of vectors.entries()) {
      const start = (expected.batch.cuSeqlens[i] as number) * size;
      expect(differences([vector], hidden.slice(start, start + size))).toBeLessThan(1e-4);
    }
  });

  it('do not depend on what is asked beside them, nor on how it is laid into batches', async () => {
    const embedder = new TextEmbedder(model, { of: 'mean', normalize: true });
    const long = Array.from({ length: 60 }, (_, i) => texts[i % texts.length] as Int32Array);
    const [together, alone] = await Promise.all([embedder.embed(long), embedder.embed([texts[1] as Int32Array])]);
    expect(together.length).toBe(60);
    expect(differences(alone, together[1] as Float32Array)).toBeLessThan(1e-6);
    expect(differences([together[texts.length + 1] as Float32Array], together[1] as Float32Array)).toBeLessThan(1e-6);
    using direct = scope(() => model.embed(packSequences([texts[1] as Int32Array])));
    expect(differences(alone, await direct.floats())).toBeLessThan(1e-6);
  });

  it('stop between batches when nobody waits for them any more', async () => {
    const stop = new AbortController();
    const many = Array.from({ length: 2000 }, () => texts[0] as Int32Array);
    const embedding = new TextEmbedder(model, { of: 'mean', normalize: true }).embed(many, stop.signal);
    stop.abort(new Error('gone'));
    await expect(embedding).rejects.toThrow('gone');
  });
});
