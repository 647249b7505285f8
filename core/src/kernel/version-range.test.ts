import { describe, expect, it } from 'vitest';
import { isRange, satisfies } from './version-range.js';

describe('a version range', () => {
  it.each([
    ['1.2.3', '1.2.3', true],
    ['1.2.4', '1.2.3', false],
    ['1.9.0', '^1.2.3', true],
    ['2.0.0', '^1.2.3', false],
    ['0.2.5', '^0.2.3', true],
    ['0.3.0', '^0.2.3', false],
    ['0.0.4', '^0.0.3', false],
    ['1.2.9', '~1.2.3', true],
    ['1.3.0', '~1.2.3', false],
    ['1.3.0', '1', true],
    ['1.3.0', '1.x', true],
    ['1.3.0', '1.2.x', false],
    ['3.0.0', '*', true],
    ['1.5.0', '>=1.2 <2', true],
    ['2.0.0', '>=1.2 <2', false],
    ['1.2.0', '>1.2', false],
    ['1.3.0', '>1.2', true],
    ['1.2.9', '<=1.2', true],
    ['2.1.0', '1.0.0 - 2', true],
    ['3.0.0', '1.0.0 - 2', false],
    ['4.1.0', '^2 || ^4', true],
    ['3.1.0', '^2 || ^4', false],
    ['2.0.0-rc.1', '^1.0.0', false],
    ['1.5.0-rc.1', '^1.0.0', false],
    ['1.5.0-rc.2', '^1.5.0-rc.1', true],
    ['1.5.0-alpha', '>=1.5.0-rc.1', false],
    ['1.5.0-rc.10', '>1.5.0-rc.9', true],
    ['1.5.0-rc', '<1.5.0-rc.1 >=1.5.0-0', true],
    ['1.2', '^1.0.0', false],
    ['1.2.3', 'latest', false],
  ])('%s within %s: %s', (version, range, inside) => {
    expect(satisfies(version, range)).toBe(inside);
  });

  it('can be told from what is none', () => {
    expect(['^1.2.3', '*', '>= 1.0', '1 - 2', '^1 || ^2'].filter((range) => !isRange(range))).toEqual([]);
    expect(['latest', '^x.y', 'file:..', '>*'].filter(isRange)).toEqual([]);
  });
});
