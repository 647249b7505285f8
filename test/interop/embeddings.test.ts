import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { miniLm, python, smolLm2, temporaryFolder } from './environment.js';
import { readNpy } from './npy.js';
import { serve } from './served.js';

const texts = [
  'How do I reset my password?',
  'I have forgotten my password.',
  'The weather in Lisbon will be fine tomorrow.',
  'Ein Satz mit Umlauten: schöne Grüße aus Köln.',
];

const cosine = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] as number) * (b[i] as number);
    aa += (a[i] as number) ** 2;
    bb += (b[i] as number) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
};

describe.each([
  ['a sentence encoder', miniLm, 0.999],
  // Its weights stay in 4 bits here, and activations are rounded to 8.
  ['a decoder', smolLm2, 0.99],
])('vectors of %s, over HTTP', (_, path, closest) => {
  it("are transformers'", async () => {
    const folder = temporaryFolder();
    const file = (name: string) => join(folder, name);
    writeFileSync(file('texts.json'), JSON.stringify(texts));
    python('embeddings.py', path(), file('texts.json'), file('vectors.npy'));
    const expected = readNpy(file('vectors.npy'));
    const server = await serve(path(), folder);
    try {
      const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' });
      const [model] = (await client.models.list()).data;
      const { data } = await client.embeddings.create({ model: model?.id as string, input: texts });
      const vectors = data.map(({ embedding }) => embedding);
      const size = vectors[0]?.length as number;
      const similarities = vectors.map((vector, i) => cosine(vector, expected.data.subarray(i * size, (i + 1) * size)));
      console.log(`cosines with transformers: ${similarities.map((value) => value.toFixed(5)).join(', ')}`);
      expect(Math.min(...similarities)).toBeGreaterThan(closest);
      const [first, second, third] = vectors as [number[], number[], number[]];
      expect(cosine(first, second)).toBeGreaterThan(cosine(first, third));
    } finally {
      await server.stop();
    }
  });
});
