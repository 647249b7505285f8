import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as engine from '@largeforge/engine';
import { expect, it } from 'vitest';
import { fuzz } from './fuzz.mjs';

const library = fileURLToPath(new URL('../../plugins/backend-cpu/build/liblargeforge_cpu.so', import.meta.url));

it('opens damaged model files, or says what is wrong with them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-'));
  const device = engine.openDevice({ library, threads: 1 });
  try {
    const outcomes = await fuzz({ engine, device, files: 300, seed: 7, folder });
    // Damage to the data is no damage that could be seen; most of that to the header is.
    expect([...outcomes.keys()]).toEqual(expect.arrayContaining(['read', 'LF_ENGINE_FILE_CORRUPT']));
    expect([...outcomes.values()].reduce((a, b) => a + b)).toBe(300);
  } finally {
    device.close();
    rmSync(folder, { recursive: true });
  }
});
