import { afterAll, describe, expect, it } from 'vitest';
import type { GrammarSpec } from './grammar-spec.js';
import { Grammars } from './grammars.js';

/** Bytes, then a stop token, a control token, and tokens of several characters, one of them cutting "é" in two. */
const STOP = 256;
const CONTROL = 257;
const extra = ['{"', '":', 'name', ' true', '12', '"}'];
const pieces = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  Buffer.from('</s>'),
  Buffer.from('"'),
  ...extra.map((text) => Buffer.from(text)),
  Uint8Array.of(0x61, 0xc3),
];
const grammars = new Grammars({
  vocabSize: 300,
  tokens: pieces.length,
  stopTokenIds: [STOP],
  tokenBytes: (id) => pieces[id]!,
  isSpecial: (id) => id === STOP || id === CONTROL,
});
afterAll(() => grammars.close());

const allows = (mask: Uint32Array, token: number) => ((mask[token >> 5]! >>> (token & 31)) & 1) === 1;

/** Takes the tokens of a text byte by byte; returns the first that is not allowed, or 'complete', or 'open'. */
async function follow(spec: GrammarSpec, tokens: Iterable<number>): Promise<string> {
  const constraint = await grammars.constrain(spec);
  let text = '';
  for (const token of tokens) {
    const mask = (await constraint.next())!;
    expect(mask).toHaveLength(Math.ceil(300 / 32));
    expect(allows(mask, CONTROL)).toBe(false);
    if (!allows(mask, token)) return `not ${String.fromCharCode(token)} after ${text}`;
    constraint.accept(token);
    text += String.fromCharCode(token);
  }
  const complete = allows((await constraint.next())!, STOP);
  constraint.dispose!();
  return complete ? 'complete' : 'open';
}
const bytes = (text: string) => [...Buffer.from(text)];

const SCHEMA = {
  kind: 'json-schema',
  schema: {
    type: 'object',
    properties: { name: { type: 'string' }, age: { type: 'integer' } },
    required: ['name', 'age'],
  },
} as const;

describe('grammars', () => {
  it.each([
    [SCHEMA, '{"name": "Zoé", "age": 7}', 'complete'],
    [SCHEMA, '{"name": "x"', 'open'],
    [SCHEMA, '{"name": 5', 'not 5 after {"name": '],
    [SCHEMA, '{"name": "x", "agf', 'not f after {"name": "x", "ag'],
    [{ kind: 'json' }, '[1, {"a": null}]', 'complete'],
    [{ kind: 'json' }, '[1}', 'not } after [1'],
    [{ kind: 'regex', pattern: '[a-c]{2}\\d+' }, 'ab12', 'complete'],
    [{ kind: 'regex', pattern: '[a-c]{2}\\d+' }, 'abd', 'not d after ab'],
    [{ kind: 'grammar', ebnf: 'root ::= "yes" | "no"' }, 'no', 'complete'],
    [{ kind: 'grammar', ebnf: 'root ::= "yes" | "no"' }, 'yeah', 'not a after ye'],
  ] as const)('%j: %s: %s', async (spec, text, outcome) => {
    expect(await follow(spec, bytes(text))).toBe(outcome);
  });

  it('take tokens of several characters, also one that ends inside of a character', async () => {
    const tokens = [258, 260, 259, 0x20, 0x22, 264, 0xa9, 0x22, 0x2c];
    expect(await follow(SCHEMA, tokens)).toBe('open');
  });

  it.each([
    [{ kind: 'json-schema', schema: { type: 'foo' } }, /json-schema cannot be used: Unsupported type "foo"/],
    [{ kind: 'grammar', ebnf: 'root ::= missing' }, /grammar cannot be used: .*missing/],
    [{ kind: 'regex', pattern: '[a' }, /regex cannot be used/],
  ] as const)('%j is refused with its reason, and others go on', async (spec, reason) => {
    const running = await grammars.constrain({ kind: 'regex', pattern: 'ab' });
    await expect(grammars.constrain(spec)).rejects.toThrow(reason);
    await expect(grammars.constrain(spec)).rejects.toMatchObject({ code: 'LF_ENGINE_GRAMMAR' });
    expect(allows((await running.next())!, 0x61)).toBe(true);
    running.accept(0x61);
    expect(allows((await running.next())!, 0x61)).toBe(false);
    expect(allows((await running.next())!, 0x62)).toBe(true);
    running.dispose!();
  });
});
