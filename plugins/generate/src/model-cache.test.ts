import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { modelCache } from './model-cache.js';

it('tells where models are kept and how many there are', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-cache-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  expect(await modelCache.inspect({ HF_HUB_CACHE: folder })).toMatchObject({ lines: [`${folder} (0 models)`] });
  mkdirSync(join(folder, 'models--org--name', 'snapshots', 'abc'), { recursive: true });
  expect(await modelCache.inspect({ HF_HUB_CACHE: folder })).toEqual({
    label: 'model cache',
    lines: [`${folder} (1 model)`],
    facts: { path: folder, exists: true, models: [{ id: 'org/name', snapshots: 1 }] },
  });
  const nowhere = join(folder, 'nowhere');
  expect(await modelCache.inspect({ HF_HUB_CACHE: nowhere })).toMatchObject({
    lines: [`${nowhere} (no such folder)`],
    facts: { exists: false, models: [] },
  });
});
