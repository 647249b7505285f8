import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type DType, dtypeCode } from './dtype.js';
import { Binary, CodeOrder, Layout, MathMode, Op, Random, Reduce, Unary } from './opcodes.js';

const header = readFileSync(new URL('../../native/include/largeforge/backend.h', import.meta.url), 'utf8');

/** Members of an enumeration of backend.h, without its prefix. */
function members(name: string, prefix: string): Record<string, number> {
  const body = new RegExp(`typedef enum ${name} \\{([\\s\\S]*?)\\} ${name};`)
    .exec(header)![1]!
    .replace(/\/\*[\s\S]*?\*\//g, '');
  const found = [...body.matchAll(new RegExp(`${prefix}(\\w+) = (\\d+)`, 'g'))];
  return Object.fromEntries(found.map(([, member, value]) => [member!, Number(value)]));
}

/** "sumSquares" as "SUM_SQUARES" */
const upper = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
const uppercased = (table: Record<string, number>) =>
  Object.fromEntries(Object.entries(table).map(([name, value]) => [upper(name), value]));

describe('codes are those of backend.h', () => {
  test('operations', () => expect(Op).toEqual(members('lf_op', 'LF_OP_')));
  test('binary kinds', () => expect(uppercased(Binary)).toEqual(members('lf_binary', 'LF_')));
  test('unary kinds', () => expect(uppercased(Unary)).toEqual(members('lf_unary', 'LF_')));
  test('random kinds', () => expect(uppercased(Random)).toEqual(members('lf_random', 'LF_')));
  test('layouts', () => expect(uppercased(Layout)).toEqual(members('lf_layout', 'LF_LAYOUT_')));
  test('orders of codes', () => expect(uppercased(CodeOrder)).toEqual(members('lf_code_order', 'LF_CODES_')));
  test('math', () => expect(uppercased(MathMode)).toEqual(members('lf_math', 'LF_MATH_')));
  test('reductions', () => {
    const { max, ...rest } = Reduce;
    expect(uppercased({ maximum: max, ...rest })).toEqual(members('lf_reduce', 'LF_'));
  });
  test('data types', () => {
    const codes = members('lf_dtype', 'LF_');
    expect(Object.keys(codes).length).toBeGreaterThan(15);
    for (const [name, code] of Object.entries(codes)) expect(dtypeCode(name.toLowerCase() as DType), name).toBe(code);
  });
});
