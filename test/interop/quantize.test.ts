import { writeFileSync } from 'node:fs';
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

describe('a model in compressed-tensors', () => {
  it.each(['gptq', 'awq', 'rtn'])('has the same logits in transformers: %s', async (method) => {
    await largeforge(
      folder,
      ...['quantize', '--model', base, '--method', method, '--bits', '4', '--group-size', '32', '--output-dir', method],
      ...['--format', 'compressed-tensors', '--calibration', testData('wikitext-2/valid.txt')],
      ...['--samples', '8', '--sequence-length', '128', '--dtype', 'f32'],
    );
    writeFileSync(file('tokens.json'), JSON.stringify(tokens));
    python('quantized_logits.py', file(method), file('tokens.json'), file('logits.npy'));
    const theirs = readNpy(file('logits.npy')).data;
    const device = openDevice({ library: backendLibrary });
    const model = asCausal(await loadModel(device, file(method), { dtype: 'f32' }));
    const ours = await scope(() => model.logits(model.hidden(packSequences([tokens])))).floats();
    device[Symbol.dispose]();
    let [difference, size] = [0, 0];
    for (const [i, logit] of theirs.entries()) {
      difference += ((ours[i] as number) - logit) ** 2;
      size += logit ** 2;
    }
    console.log(`${method}: relative difference of the logits ${Math.sqrt(difference / size).toExponential(1)}`);
    expect(Math.sqrt(difference / size)).toBeLessThan(1e-4);
  });
});
