import { describe, expect, it, vi } from 'vitest';
import { stepOptions, trainCommand } from './command.js';
import { trainerOptions } from './options.js';

describe('the flags of a trainer', () => {
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
    expect(trainerOptions.parse(options)).toMatchObject({ lora: { r: 8, dropout: 0 }, maxLength: 1024 });
  });

  it.each([
    ['all', true],
    [true, true],
    ['none', false],
    ['every:2', { every: 2 }],
    ['first:8', { first: 8 }],
    ['auto', 'auto'],
  ])('say which blocks are computed again: %s', (flag, expected) => {
    const options = stepOptions({ model: 'm', dataset: ['a'], gradientCheckpointing: flag });
    expect(trainerOptions.parse(options).gradientCheckpointing).toEqual(expected);
    expect(trainerOptions.safeParse({ ...options, gradientCheckpointing: 'some' }).success).toBe(false);
  });

  it('say what kind of LoRA is meant', () => {
    const options = stepOptions({ model: 'm', dataset: ['a'], loraDora: true, loraRslora: true, loraPlusRatio: 16 });
    expect(trainerOptions.parse(options)).toMatchObject({ lora: { dora: true, rslora: true }, loraPlusRatio: 16 });
  });

  it('take one target module as it is: all-linear, or a pattern', () => {
    expect(stepOptions({ dataset: ['a'], loraTargetModules: ['all-linear'] })).toMatchObject({
      lora: { targetModules: 'all-linear' },
    });
  });
});

describe('the command of a trainer', () => {
  const command = trainCommand({
    trainer: 'pairs',
    summary: 'train on pairs',
    examples: [],
    formats: 'preference',
    flags: [{ flags: '--beta <number>', description: 'distance from the reference' }],
  });

  it('has the flags of the method and those of every trainer', () => {
    const flags = command.options?.map((option) => option.flags);
    expect(command.name).toBe('train pairs');
    expect(flags).toEqual(expect.arrayContaining(['--beta <number>', '--lora-r <rank>', '--max-steps <count>']));
    expect(new Set(flags).size).toBe(flags?.length);
  });

  it.each([
    [{ resume: true }, { resume: true }],
    [{ force: true }, { resume: false, force: true }],
  ])('runs one step with the options of its flags, resume and force apart: %o', async (flags, expected) => {
    const runSteps = vi.fn(async () => {});
    const options = { model: 'm', dataset: ['a.jsonl'], outputDir: 'out', beta: 0.2, ...flags };
    await command.run({ options, arguments: [] } as never, { runSteps } as never);
    expect(runSteps).toHaveBeenCalledWith(
      [
        {
          name: 'pairs',
          stage: 'train',
          use: 'pairs',
          with: { model: 'm', dataset: { paths: ['a.jsonl'] }, outputDir: 'out', beta: 0.2 },
        },
      ],
      expected,
    );
  });

  it.each(['student', 'model'])('takes the model by its own name too: --%s', async (flag) => {
    const distil = trainCommand({ trainer: 'd', summary: '', examples: [], formats: '', modelAlias: 'student' });
    const runSteps = vi.fn(async () => {});
    await distil.run({ options: { [flag]: 'm', dataset: ['a'] }, arguments: [] } as never, { runSteps } as never);
    expect(runSteps).toHaveBeenCalledWith(
      [expect.objectContaining({ with: { model: 'm', dataset: { paths: ['a'] } } })],
      {
        resume: false,
      },
    );
  });
});
