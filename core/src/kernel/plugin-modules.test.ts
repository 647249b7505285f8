import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { importPlugin, resolvePlugin } from './plugin-modules.js';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-modules-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(files: Record<string, string | object>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), typeof content === 'string' ? content : JSON.stringify(content));
  }
}

const request = (name: string, from: string[] = ['project']) => ({
  name,
  where: 'c.yaml:2:5: plugins[0]',
  from: from.map((each) => join(folder, each)),
  known: ['@largeforge/trainer-sft'],
});
const resolved = (name: string, from?: string[]) => resolvePlugin(request(name, from)).slice(folder.length + 1);

describe('finding a plugin', () => {
  it('looks for a package in the node_modules of the config folder and above, then beside LargeForge', () => {
    const manifest = { exports: { '.': './main.js' } };
    put({
      'project/deep/x': '',
      'project/node_modules/a/package.json': manifest,
      'project/node_modules/a/main.js': '',
      'own/node_modules/a/package.json': manifest,
      'own/node_modules/a/main.js': '',
      'own/node_modules/@s/b/package.json': manifest,
      'own/node_modules/@s/b/main.js': '',
    });
    expect(resolved('a', ['project/deep', 'own'])).toBe('project/node_modules/a/main.js');
    expect(resolved('@s/b', ['project/deep', 'own'])).toBe('own/node_modules/@s/b/main.js');
  });

  it.each([
    [{ exports: './x.js' }],
    [{ exports: { import: './x.js', require: './y.cjs' } }],
    [{ exports: { '.': { types: './x.d.ts', default: './x.js' } } }],
    [{ exports: { '.': { browser: './b.js', node: { import: './x.js' } } } }],
    [{ exports: { '.': [{ worker: './w.js' }, './x.js'] } }],
    [{ main: 'x.js' }],
  ])('reads what an import means from the manifest: %j', (manifest) => {
    put({ 'project/node_modules/a/package.json': manifest, 'project/node_modules/a/x.js': '' });
    expect(resolved('a')).toBe('project/node_modules/a/x.js');
  });

  it('takes a path relative to the config folder: a file, a folder, or a package in a folder', () => {
    put({
      'project/mine.mjs': '',
      'project/folder/index.js': '',
      'package/package.json': { exports: './lib/x.js' },
      'package/lib/x.js': '',
    });
    expect(resolved('./mine.mjs')).toBe('project/mine.mjs');
    expect(resolved('./folder')).toBe('project/folder/index.js');
    expect(resolved('../package')).toBe('package/lib/x.js');
    expect(resolved(join(folder, 'project/mine.mjs'))).toBe('project/mine.mjs');
  });

  it('says where it looked, and what may be meant', () => {
    expect(() => resolvePlugin(request('@largeforge/trainer-stf'))).toThrow(
      expect.objectContaining({
        code: 'LF_CONFIG_UNKNOWN_PLUGIN',
        message:
          'c.yaml:2:5: plugins[0]: there is no plugin "@largeforge/trainer-stf". Did you mean "@largeforge/trainer-sft"?',
        remedy:
          'Correct the name or install it (npm install @largeforge/trainer-stf). Installed: @largeforge/trainer-sft.',
      }),
    );
    expect(() => resolvePlugin(request('./gone.mjs'))).toThrow(
      expect.objectContaining({ remedy: `Correct the path: looked for ${join(folder, 'project/gone.mjs')}.` }),
    );
  });

  it('says that a package is not built when its entry is missing', () => {
    put({ 'project/node_modules/a/package.json': { exports: './dist/index.js' } });
    expect(() => resolvePlugin(request('a'))).toThrow('plugin "a" could not be loaded');
    expect(() => resolvePlugin(request('a'))).toThrow('the package is not built');
  });
});

describe('loading a plugin', () => {
  it('gives the default export of JavaScript, CommonJS and TypeScript', async () => {
    put({
      'project/package.json': { type: 'module' },
      'project/a.mjs': 'export default { name: "a" };',
      'project/b.cjs': 'exports.__esModule = true; exports.default = { name: "b" };',
      'project/c.ts': 'const plugin: { name: string } = { name: "c" }; export default plugin;',
    });
    for (const [file, name] of [
      ['a.mjs', 'a'],
      ['b.cjs', 'b'],
      ['c.ts', 'c'],
    ]) {
      expect(await importPlugin(request(`./${file}`))).toEqual({ name });
    }
  });

  it('says what is wrong with a module that throws, and keeps the cause', async () => {
    put({ 'project/bad.mjs': 'throw new Error("no GPU library\\nstack");', 'project/syntax.mjs': 'export default {' });
    await expect(importPlugin(request('./bad.mjs'))).rejects.toMatchObject({
      code: 'LF_PLUGIN_LOAD',
      message: 'c.yaml:2:5: plugins[0]: plugin "./bad.mjs" could not be loaded: no GPU library',
      cause: expect.objectContaining({ message: 'no GPU library\nstack' }),
    });
    await expect(importPlugin(request('./syntax.mjs'))).rejects.toMatchObject({ code: 'LF_PLUGIN_LOAD' });
  });
});
