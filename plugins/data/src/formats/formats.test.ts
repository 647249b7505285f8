import { describe, expect, it } from 'vitest';
import { detectFormat } from './detect.js';
import type { ReadingOptions } from './format.js';
import { builtInFormats } from './index.js';
import { readRow } from './read-row.js';

const chat: ReadingOptions = { columns: {}, style: 'auto', hasChatTemplate: true };
const plain: ReadingOptions = { columns: {}, style: 'auto', hasChatTemplate: false };

function read(id: string, row: unknown, options = chat) {
  const format = builtInFormats.find((format) => format.id === id);
  if (!format) throw new Error(`no format ${id}`);
  return readRow(JSON.stringify(row), format, options);
}

const turns = (...contents: string[]) =>
  contents.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));

describe('what rows say', () => {
  it('reads messages, with parts, tools and empty content beside tool calls', () => {
    const call = { type: 'function', function: { name: 'f', arguments: '{}' } };
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      { role: 'assistant', content: null, tool_calls: [call] },
    ];
    expect(read('messages', { messages, tools: '[{"name":"f"}]' })).toEqual({
      examples: [
        {
          kind: 'conversation',
          messages: [
            { role: 'user', content: 'ab' },
            { role: 'assistant', content: '', tool_calls: [call] },
          ],
          tools: [{ name: 'f' }],
        },
      ],
    });
  });

  it("reads ShareGPT's speakers", () => {
    const conversations = [
      { from: 'system', value: 's' },
      { from: 'Human', value: 'q' },
      { from: 'gpt', value: 'a' },
    ];
    expect(read('sharegpt', { conversations })).toEqual({
      examples: [{ kind: 'conversation', messages: [{ role: 'system', content: 's' }, ...turns('q', 'a')] }],
    });
  });

  it('makes chat turns of Alpaca rows where there is a template, and the Stanford prompt elsewhere', () => {
    const row = { instruction: 'Add.', input: '1 1', output: '2' };
    expect(read('alpaca', row)).toEqual({ examples: [{ kind: 'conversation', messages: turns('Add.\n1 1', '2') }] });
    const reading = read('alpaca', row, plain);
    expect(reading).toMatchObject({ examples: [{ kind: 'completion', completion: '2' }] });
    expect(JSON.stringify(reading)).toContain('### Instruction:\\nAdd.\\n\\n### Input:\\n1 1\\n\\n### Response:\\n');
  });

  it("makes an example of each of Self-Instruct's instances", () => {
    const row = {
      instruction: 'Add.',
      instances: [
        { input: '1 1', output: '2' },
        { input: '', output: '0' },
      ],
    };
    expect(read('alpaca', row)).toEqual({
      examples: [
        { kind: 'conversation', messages: turns('Add.\n1 1', '2') },
        { kind: 'conversation', messages: turns('Add.', '0') },
      ],
    });
  });

  it('reads prompts and completions by any of their usual names, as text or as messages', () => {
    const completion = { kind: 'completion', prompt: 'q', completion: 'a' };
    expect(read('prompt-completion', { prompt: 'q', completion: 'a' })).toEqual({ examples: [completion] });
    expect(read('prompt-completion', { question: 'q', answer: 'a', id: 3 })).toEqual({ examples: [completion] });
    const [question, answer] = turns('q', 'a');
    expect(read('prompt-completion', { prompt: [question], completion: [answer] })).toEqual({
      examples: [{ kind: 'conversation', messages: [question, answer], learnFrom: 1 }],
    });
    expect(
      read('prompt-completion', { ask: 'q', say: 'a' }, { ...chat, columns: { prompt: 'ask', completion: 'say' } }),
    ).toEqual({
      examples: [completion],
    });
  });
});

describe('rows that cannot be used', () => {
  it.each([
    ['messages', { messages: [] }, 'messages', /Too small|at least/],
    ['messages', { messages: [{ role: 'user', content: 'q' }] }, 'messages', /no assistant turn/],
    ['messages', { messages: turns('q', '') }, 'messages[1]', /empty/],
    ['messages', { messages: [{ role: 'robot', content: 'q' }] }, 'messages[0].role', /.+/],
    [
      'sharegpt',
      { conversations: [{ from: 'alien', value: 'q' }] },
      'conversations[0].from',
      /unknown speaker 'alien'/,
    ],
    ['alpaca', { instruction: 'q' }, 'output', /missing/],
    ['alpaca', { instruction: 'q', output: 3 }, 'output', /expected string/],
    ['prompt-completion', { prompt: 'q', completion: '' }, 'completion', /nothing to learn/],
    ['prompt-completion', { prompt: 'q', completion: turns('q') }, 'completion', /both/],
    ['text', { text: '' }, 'text', /empty/],
    ['messages', { messages: turns('q', 'a'), tools: '{' }, 'tools', /not valid JSON/],
  ])('%s: %j', (id, row, field, reason) => {
    expect(read(id, row)).toEqual({ field, reason: expect.stringMatching(reason) });
  });

  it('says what is wrong with a line that is no object', () => {
    const format = builtInFormats[0]!;
    expect(readRow('{"messages": [', format, chat)).toMatchObject({
      reason: expect.stringContaining('not valid JSON'),
    });
    expect(readRow('[1]', format, chat)).toMatchObject({ reason: 'expected an object, found a list' });
  });
});

describe('detection', () => {
  const detect = (...rows: unknown[]) => detectFormat({ rows, columns: {}, source: 'rows.json' }, builtInFormats);

  it.each([
    ['messages', { messages: [{ role: 'user', content: 'q' }] }],
    ['sharegpt', { conversations: [{ from: 'human', value: 'q' }] }],
    ['alpaca', { instruction: 'q', input: '', output: 'a' }],
    ['prompt-completion', { question: 'q', answer: 'a' }],
    ['text', { text: 't' }],
  ])('knows %s by its fields', (id, row) => {
    expect(detect(row).format.id).toBe(id);
  });

  it('goes by most of the rows, and says so', () => {
    const found = detect({ text: 't' }, { instruction: 'q', output: 'a' }, { instruction: 'q', output: 'b' });
    expect(found.format.id).toBe('alpaca');
    expect(found.reason).toContain('2 of the first 3 rows');
  });

  it('lists what it found and what it knows when nothing fits', () => {
    expect(() => detect({ frage: 'q', antwort: 'a' })).toThrow(
      expect.objectContaining({
        code: 'LF_DATA_FORMAT_UNKNOWN',
        message: expect.stringContaining('frage, antwort'),
        remedy: expect.stringContaining('sharegpt (conversations'),
      }),
    );
  });
});
