import { describe, expect, it } from 'vitest';
import { stepOptions } from './command.js';
import { sftOptions } from './options.js';

describe('the flags of train sft', () => {
  it('become options of the step', () => {
    const options = stepOptions({
      model: 'm',
      dataset: ['a.jsonl', 'b.jsonl'],
      outputDir: 'out',
      format: 'alpaca',
      loraR: 8,
      loraAlpha: 16,
      loraTargetModules: ['q_proj', 'v_proj'],
      epochs: 2,
      learningRate: 1e-4,
      packing: true,
    });
    expect(options).toEqual({
      model: 'm',
      dataset: { paths: ['a.jsonl', 'b.jsonl'], format: 'alpaca' },
      outputDir: 'out',
      lora: { r: 8, alpha: 16, targetModules: ['q_proj', 'v_proj'] },
      epochs: 2,
      learningRate: 1e-4,
      packing: true,
    });
    expect(sftOptions.parse(options)).toMatchObject({ lora: { r: 8, dropout: 0 }, maxLength: 1024 });
  });

  it('take one target module as it is: all-linear, or a pattern', () => {
    expect(stepOptions({ dataset: ['a'], loraTargetModules: ['all-linear'] })).toMatchObject({
      lora: { targetModules: 'all-linear' },
    });
  });
});
