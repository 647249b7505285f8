import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { PackedStore } from './packed-store.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

it('reads back what it was given, holds none of it in memory meanwhile, and leaves no file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-store-'));
  try {
    const path = join(folder, 'layers.bin');
    const given: WeakRef<Uint8Array>[] = [];
    {
      using store = new PackedStore(path);
      const kept = [];
      for (let layer = 0; layer < 3; layer++) {
        const bytes = () => {
          const made = new Uint8Array(1 << 16).fill(layer + 1);
          given.push(new WeakRef(made));
          return made;
        };
        kept.push(...(await store.keep([{ name: `layers.${layer}`, dtype: 'u8', shape: [1 << 16], bytes }])));
      }
      expect(store.bytes).toBe(3 << 16);
      // What a weak reference gave out lives to the end of the task.
      await new Promise((resolve) => setTimeout(resolve));
      collectGarbage();
      expect(given.map((reference) => reference.deref())).toEqual([undefined, undefined, undefined]);
      for (const [layer, { name, bytes }] of kept.entries()) {
        expect(name).toBe(`layers.${layer}`);
        expect((await bytes()).every((value) => value === layer + 1)).toBe(true);
      }
    }
    expect(existsSync(path)).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
