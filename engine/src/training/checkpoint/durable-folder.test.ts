import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deleteFolder, removeUnfinished, writeFolder } from './durable-folder.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'largeforge-'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('writeFolder', () => {
  it('shows the folder only when it is whole', async () => {
    const path = join(root, 'parent', 'result');
    await writeFolder(path, async (folder) => {
      await mkdir(join(folder, 'inner'));
      await writeFile(join(folder, 'inner', 'a'), 'one');
      expect(readdirSync(join(root, 'parent'))).not.toContain('result');
    });
    expect(readFileSync(join(path, 'inner', 'a'), 'utf8')).toBe('one');
    expect(readdirSync(join(root, 'parent'))).toEqual(['result']);
  });

  it('leaves the old folder and nothing else when writing fails', async () => {
    const path = join(root, 'result');
    await writeFolder(path, (folder) => writeFile(join(folder, 'a'), 'old'));
    const failing = writeFolder(path, async (folder) => {
      await writeFile(join(folder, 'a'), 'new');
      throw new Error('disk full');
    });
    await expect(failing).rejects.toThrow('disk full');
    expect(readFileSync(join(path, 'a'), 'utf8')).toBe('old');
    expect(readdirSync(root)).toEqual(['result']);
  });

  it('replaces an existing folder whole', async () => {
    const path = join(root, 'result');
    await writeFolder(path, (folder) => writeFile(join(folder, 'a'), 'old'));
    await writeFolder(path, (folder) => writeFile(join(folder, 'b'), 'new'));
    expect(readdirSync(path)).toEqual(['b']);
    expect(readdirSync(root)).toEqual(['result']);
  });
});

describe('deleteFolder and removeUnfinished', () => {
  it('delete a folder, and the rests of crashed writers alone', async () => {
    await writeFolder(join(root, 'one'), (folder) => writeFile(join(folder, 'a'), '1'));
    await writeFolder(join(root, 'two'), (folder) => writeFile(join(folder, 'a'), '2'));
    await mkdir(join(root, '.unfinished-three-00'));
    await deleteFolder(join(root, 'one'));
    await removeUnfinished(root);
    expect(readdirSync(root)).toEqual(['two']);
    await removeUnfinished(join(root, 'absent'));
  });
});
