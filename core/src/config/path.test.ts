import { describe, expect, it } from 'vitest';
import { formatPath, parsePath, valueAt } from './path.js';

describe('a path', () => {
  it.each([
    ['a', ['a']],
    ['a.b[0].c', ['a', 'b', 0, 'c']],
    ['[2][1].x', [2, 1, 'x']],
    ['plugins.@largeforge/server-openai.port', ['plugins', '@largeforge/server-openai', 'port']],
    ['a["b.c"].d', ['a', 'b.c', 'd']],
    ['a["say \\"x\\""]', ['a', 'say "x"']],
  ])('%s is read and written', (text, path) => {
    expect(parsePath(text)).toEqual(path);
    expect(formatPath(path)).toBe(text);
  });

  it.each(['', '.', 'a..b', 'a[', 'a[x]', 'a.', 'a[0', 'a=b', '[-1]'])('%j is none', (text) => {
    expect(parsePath(text)).toBeUndefined();
  });

  it('leads to a value, and never to what objects inherit', () => {
    expect(valueAt({ a: [{ b: 5 }] }, ['a', 0, 'b'])).toBe(5);
    for (const path of [['constructor'], ['a', 'length', 'x'], ['__proto__', 'x'], ['a', 'b', 'c']]) {
      expect(valueAt({ a: 'text' }, path)).toBeUndefined();
    }
    expect(formatPath([])).toBe('(top level)');
  });
});
