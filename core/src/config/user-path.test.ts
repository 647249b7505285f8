import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { folderWith } from './config.fixture.js';
import { pathOrName, resolveUserPath } from './user-path.js';

it('a path starts at the folder of who wrote it, or at home', () => {
  expect(resolveUserPath('/base', 'a/b')).toBe('/base/a/b');
  expect(resolveUserPath('/base', '/a')).toBe('/a');
  expect(resolveUserPath('/base', '~/a')).toBe(join(homedir(), 'a'));
  expect(resolveUserPath('/base', '~a')).toBe('/base/~a');
});

it('a model is a path where something lies there or nothing else can be meant, else a name', () => {
  const base = folderWith({});
  const called = (text: string) => pathOrName((path) => resolveUserPath(base, path), text);
  for (const name of ['gpt2', 'org/name', 'org/name@v1.0', 'org/name-1.5']) expect(called(name)).toBe(name);
  for (const path of ['./org/name', '../name', 'a/b/c', 'org/..']) expect(called(path)).toBe(join(base, path));
  mkdirSync(join(base, 'org/name'), { recursive: true });
  expect(called('org/name')).toBe(join(base, 'org/name'));
});
