import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { StagedModel } from './output.js';

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'largeforge-staged-')), 'model');
});

function write(staged: StagedModel, ...names: string[]): void {
  const partial = staged.open();
  for (const name of names) writeFileSync(join(partial, name), `new ${name}`);
}

describe('a model on its way to its folder', () => {
  it('leaves nothing behind when it is given up, not even the folder', () => {
    {
      using staged = new StagedModel(folder);
      write(staged, 'config.json', 'model.safetensors');
    }
    expect(existsSync(folder)).toBe(false);
  });

  it('leaves what the folder had when it is given up', () => {
    mkdirSync(folder);
    writeFileSync(join(folder, 'config.json'), 'old');
    {
      using staged = new StagedModel(folder);
      write(staged, 'config.json');
    }
    expect(readdirSync(folder)).toEqual(['config.json']);
    expect(readFileSync(join(folder, 'config.json'), 'utf8')).toBe('old');
  });

  it('takes the place of a model in shards whole: no index of before names weights that are gone', () => {
    mkdirSync(folder);
    for (const name of [
      'config.json',
      'model-00001-of-00002.safetensors',
      'model.safetensors.index.json',
      'notes.md',
    ]) {
      writeFileSync(join(folder, name), 'old');
    }
    using staged = new StagedModel(folder);
    write(staged, 'config.json', 'model.safetensors');
    staged.commit();
    staged[Symbol.dispose]();
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors', 'notes.md']);
    expect(readFileSync(join(folder, 'config.json'), 'utf8')).toBe('new config.json');
  });

  it('removes what a process that was killed has left, and nothing of one that works', () => {
    mkdirSync(folder);
    const [gone, alive] = ['.unfinished-999999999', `.unfinished-${process.ppid}`];
    for (const name of [gone, alive]) mkdirSync(join(folder, name));
    using staged = new StagedModel(folder);
    write(staged, 'config.json');
    expect(readdirSync(folder).sort()).toEqual([alive, `.unfinished-${process.pid}`].sort());
  });

  it('is not written over the model that is read', () => {
    mkdirSync(folder);
    expect(() => new StagedModel(folder, join(folder, '..', 'model'))).toThrow(/is the model that is read/);
  });
});
