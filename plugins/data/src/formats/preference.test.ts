import { describe, expect, it } from 'vitest';
import { detectFormat } from './detect.js';
import type { DatasetFormat } from './format.js';
import { builtInFormats } from './index.js';
import { readRow } from './read-row.js';

const options = { columns: {}, style: 'auto', hasChatTemplate: true } as const;
const named = (id: string) => builtInFormats.find((format) => format.id === id) as DatasetFormat;
const read = (id: string, row: unknown) => readRow(JSON.stringify(row), named(id), options);
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });

describe('rows with two answers', () => {
  it.each([
    ['preference', { prompt: 'q', chosen: 'a', rejected: 'b' }],
    ['preference', { instruction: 'q', input: 'i', chosen: 'a', rejected: 'b' }],
    ['preference', { chosen: [user('q'), assistant('a')], rejected: [user('q'), assistant('b')] }],
    [
      'sharegpt-preference',
      {
        conversations: [{ from: 'human', value: 'q' }],
        chosen: { from: 'gpt', value: 'a' },
        rejected: { from: 'gpt', value: 'b' },
      },
    ],
    ['unpaired-preference', { prompt: 'q', completion: 'a', label: true }],
    ['unpaired-preference', { messages: [user('q'), assistant('a')], label: false }],
  ])('are known as %s: %o', (id, row) => {
    const usable = builtInFormats.filter((format) => format.gives !== undefined);
    const sample = { rows: [row], columns: {}, source: 'rows' };
    expect(detectFormat(sample, builtInFormats, usable).format.id).toBe(id);
  });

  it('are texts, of which the answers are learnt', () => {
    expect(read('preference', { prompt: 'q', chosen: 'a', rejected: 'b' })).toEqual({
      examples: [
        { kind: 'completion', prompt: 'q', completion: 'a', verdict: 'chosen' },
        { kind: 'completion', prompt: 'q', completion: 'b', verdict: 'rejected' },
      ],
    });
  });

  it("have Alpaca's instruction and input for a prompt", () => {
    const reading = read('preference', { instruction: 'q', input: 'i', chosen: 'a', rejected: 'b' });
    expect(reading).toMatchObject({ examples: [{ prompt: 'q\ni' }, { prompt: 'q\ni' }] });
  });

  it('are conversations whose shared turns are the prompt', () => {
    const turns = [user('q'), assistant('r'), user('s')];
    const row = { chosen: [...turns, assistant('a')], rejected: [...turns, assistant('b')] };
    expect(read('preference', row)).toEqual({
      examples: [
        { kind: 'conversation', messages: row.chosen, learnFrom: 3, verdict: 'chosen' },
        { kind: 'conversation', messages: row.rejected, learnFrom: 3, verdict: 'rejected' },
      ],
    });
  });

  it('keep the turns and the system prompt of ShareGPT', () => {
    const row = {
      system: 's',
      conversations: [{ from: 'human', value: 'q' }],
      chosen: { from: 'gpt', value: 'a' },
      rejected: { from: 'gpt', value: 'b' },
    };
    const prompt = [{ role: 'system', content: 's' }, user('q')];
    expect(read('sharegpt-preference', row)).toEqual({
      examples: [
        { kind: 'conversation', messages: [...prompt, assistant('a')], learnFrom: 2, verdict: 'chosen' },
        { kind: 'conversation', messages: [...prompt, assistant('b')], learnFrom: 2, verdict: 'rejected' },
      ],
    });
  });

  it('judge a single answer by its label', () => {
    const row = { messages: [user('q'), assistant('a')], label: false };
    expect(read('unpaired-preference', row)).toEqual({
      examples: [{ kind: 'conversation', messages: row.messages, learnFrom: 1, verdict: 'rejected' }],
    });
  });

  it.each([
    ['preference', { prompt: 'q', chosen: 'a', rejected: 'a' }, 'rejected', /same as chosen/],
    ['preference', { prompt: 'q', chosen: '', rejected: 'b' }, 'chosen', /empty/],
    ['preference', { prompt: 'q', chosen: [assistant('a')], rejected: 'b' }, 'chosen', /both be texts/],
    ['preference', { chosen: 'a', rejected: 'b' }, 'prompt', /missing/],
    [
      'preference',
      { chosen: [user('q'), assistant('a')], rejected: [user('p'), assistant('b')] },
      'chosen',
      /no prompt/,
    ],
    ['unpaired-preference', { prompt: 'q', label: true }, 'completion', /missing/],
    [
      'sharegpt-preference',
      {
        conversations: [{ from: 'human', value: 'q' }],
        chosen: { from: 'nobody', value: 'a' },
        rejected: { from: 'gpt', value: 'b' },
      },
      'chosen[0].from',
      /unknown speaker/,
    ],
  ])('name what is wrong: %s %o', (id, row, field, reason) => {
    expect(read(id, row)).toEqual({ field, reason: expect.stringMatching(reason) });
  });
});
