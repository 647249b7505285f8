import { describe, expect, it } from 'vitest';
import { BareCallParser, type CallParser, TaggedCallParser } from './call-parser.js';

const known = new Set(['weather', 'now']);

/** What the parser makes of a text that comes in pieces of a size: the text, and each call with its arguments. */
function read(parser: CallParser, said: string, size: number) {
  let text = '';
  const calls: { name: string; arguments: string }[] = [];
  const pieces = said.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
  for (const part of [...pieces.flatMap((piece) => parser.push(piece)), ...parser.finish()]) {
    if (part.type === 'text') text += part.text;
    else if (part.type === 'call') calls.push({ name: part.name, arguments: '' });
    else calls.at(-1)!.arguments += part.text;
  }
  return { text, calls };
}

const paris = { name: 'weather', arguments: '{"city": "Paris \\"}{\\" ", "days": [1, {"a": 2}]}' };
const now = { name: 'now', arguments: '{}' };
const object = (key: string, call: { name: string; arguments: string }) =>
  `{"name": "${call.name}", "${key}": ${call.arguments}}`;
const tagged = (call: { name: string; arguments: string }) => `<tool_call>\n${object('arguments', call)}\n</tool_call>`;

const taggedCases: [string, string, ReturnType<typeof read>][] = [
  ['plain text', 'a < b, {"name": 1}', { text: 'a < b, {"name": 1}', calls: [] }],
  ['one call', tagged(paris), { text: '', calls: [paris] }],
  ['text and a call', `Let me see.\n\n${tagged(now)}\n`, { text: 'Let me see.', calls: [now] }],
  ['two calls', `${tagged(paris)}\n${tagged(now)}`, { text: '', calls: [paris, now] }],
  ['text between calls', `${tagged(now)}\nand${tagged(now)} so`, { text: '\nand so', calls: [now, now] }],
  ['compact JSON', '<tool_call>{"name":"now","arguments":{}}</tool_call>', { text: '', calls: [now] }],
  ['JSON in a string', '<tool_call>{"name":"now","arguments":"{}"}</tool_call>', { text: '', calls: [now] }],
  ['no closing tag', `<tool_call>\n${object('arguments', now)}`, { text: '', calls: [now] }],
  [
    'arguments cut short',
    '<tool_call>{"name": "now", "arguments": {"a',
    { text: '', calls: [{ ...now, arguments: '{"a' }] },
  ],
  ['no JSON', '<tool_call>now()</tool_call>', { text: '<tool_call>now()</tool_call>', calls: [] }],
  [
    'an unknown function',
    tagged({ name: 'rm', arguments: '{}' }),
    { text: tagged({ name: 'rm', arguments: '{}' }), calls: [] },
  ],
  ['the beginning of a tag', 'x <tool_ca', { text: 'x <tool_ca', calls: [] }],
  ['a call that is cut short', '<tool_call>{"na', { text: '<tool_call>{"na', calls: [] }],
];

const bareCases: [string, string, ReturnType<typeof read>][] = [
  ['plain text', 'It is {"name"}.', { text: 'It is {"name"}.', calls: [] }],
  ['one call', object('parameters', paris), { text: '', calls: [paris] }],
  ['two calls', `${object('parameters', paris)}; ${object('parameters', now)}`, { text: '', calls: [paris, now] }],
  ['other JSON', '{"temperature": 3}', { text: '{"temperature": 3}', calls: [] }],
  ['an unknown function', '{"name": "rm", "parameters": {}}', { text: '{"name": "rm", "parameters": {}}', calls: [] }],
];

describe.each([1, 3, 1000])('in pieces of %i characters', (size) => {
  it.each(taggedCases)('reads calls between tags: %s', (_what, said, expected) => {
    expect(read(new TaggedCallParser(known), said, size)).toEqual(expected);
  });
  it.each(bareCases)('reads calls without tags: %s', (_what, said, expected) => {
    expect(read(new BareCallParser(known), said, size)).toEqual(expected);
  });
});

it('gives text and arguments as soon as they are certain', () => {
  const parser = new TaggedCallParser(known);
  expect(parser.push('Hi <')).toEqual([{ type: 'text', text: 'Hi' }]);
  expect(parser.push('b> ')).toEqual([{ type: 'text', text: ' <b>' }]);
  expect(parser.push('<tool_call>{"name": "weather", "arguments": {"ci')).toEqual([
    { type: 'call', name: 'weather' },
    { type: 'arguments', text: '{"ci' },
  ]);
  expect(parser.push('ty"')).toEqual([{ type: 'arguments', text: 'ty"' }]);
});
