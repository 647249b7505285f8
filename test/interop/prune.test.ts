import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asCausal, loadModel, openDevice, packSequences, scope } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { largeforge } from './command.js';
import { backendLibrary, python, temporaryFolder, testData } from './environment.js';
import { readNpy } from './npy.js';

const base = fileURLToPath(new URL('../../examples/quickstart/base', import.meta.url));
const folder = temporaryFolder();
const file = (name: string) => join(folder, name);
const tokens = Array.from({ length: 48 }, (_, i) => 5 + ((i * 37) % 700));

describe('a pruned model', () => {
  it.each([
    ['structured', ['--channels', '0.3', '--heads', '0.5', '--layers', '0.34']],
    ['sparsegpt', ['--pattern', '2:4']],
  ])('loads in transformers with the same logits: %s', async (method, flags) => {
    await largeforge(
      folder,
      ...['prune', '--model', base, '--method', method, '--output-dir', method, '--dtype', 'f32', ...flags],
      ...['--calibration', testData('wikitext-2/valid.txt'), '--samples', '8', '--sequence-length', '128'],
    );
    writeFileSync(file('tokens.json'), JSON.stringify(tokens));
    python('logits.py', file(method), file('tokens.json'), file('logits.npy'));
    const theirs = readNpy(file('logits.npy')).data;
    using device = openDevice({ library: backendLibrary });
    const model = asCausal(await loadModel(device, file(method), { dtype: 'f32' }));
    const ours = await scope(() => model.logits(model.hidden(packSequences([tokens])))).floats();
    let [difference, size] = [0, 0];
    for (const [i, logit] of theirs.entries()) {
      difference += ((ours[i] as number) - logit) ** 2;
      size += logit ** 2;
    }
    expect(Math.sqrt(difference / size)).toBeLessThan(1e-4);
    const config = JSON.parse(readFileSync(join(file(method), 'config.json'), 'utf8'));
    if (method === 'structured') expect(config.num_hidden_layers).toBe(4);
  });
});
