import { describe, expect, it } from 'vitest';
import { evaluateCommand, stepOf } from './command.js';
import { Evaluation, tinyBase } from './evaluate.fixture.js';

const base = { model: 'm', dtype: 'bf16' };

describe('largeforge evaluate', () => {
  it('makes a step of its flags', () => {
    expect(stepOf({ ...base, benchmark: 'perplexity', dataset: ['t.txt'], window: 512, weights: 'as-stored' })).toEqual(
      {
        name: 'perplexity',
        stage: 'evaluate',
        use: 'perplexity',
        with: { ...base, dataset: 't.txt', window: 512, weights: 'as-stored' },
      },
    );
    const data = (dataset?: string[]) =>
      stepOf({ ...base, benchmark: 'gsm8k', ...(dataset && { dataset }), limit: 5 }).with!.data;
    expect(data(['test.jsonl'])).toEqual({ gsm8k: 'test.jsonl' });
    expect(data(['train=a.jsonl', 'test=b.jsonl'])).toEqual({ gsm8k: { train: 'a.jsonl', test: 'b.jsonl' } });
    expect(data()).toBeUndefined();
    const remote = stepOf({ ...base, benchmark: 'gsm8k', server: 'http://a/v1' }).with!.model;
    expect(remote).toEqual({ url: 'http://a/v1', model: 'm' });
  });

  it('refuses flags of another benchmark', () => {
    const refused = (options: Record<string, unknown>) => expect(() => stepOf({ ...base, ...options }));
    refused({ benchmark: 'boolq', window: 5 }).toThrow('--window is not for the benchmark boolq');
    refused({ benchmark: 'perplexity', dataset: ['a'], failUnder: 0.5 }).toThrow('--fail-under is not for');
    refused({ benchmark: 'perplexity', dataset: ['a'], server: 'http://a/v1' }).toThrow('not a server');
    refused({ benchmark: 'perplexity' }).toThrow('takes one --dataset');
    refused({ benchmark: 'gsm8k', dataset: ['train=a', 'b'] }).toThrow('split=file');
  });

  it('tells the figure last', async () => {
    await using evaluation = await Evaluation.start();
    const dataset = evaluation.write('text.txt', 'put oat milk on the shopping list '.repeat(20));
    const options = { model: tinyBase, dtype: 'f32', benchmark: 'perplexity', dataset: [dataset], window: 32 };
    const { application } = evaluation.test;
    await evaluateCommand().run({ options, positionals: [] }, application.commandContext());
    const last = evaluation.test.events.at(-1)!;
    expect(last).toMatchObject({ type: 'message', text: expect.stringMatching(/^\d+\.\d{4}$/) });
  });
});
