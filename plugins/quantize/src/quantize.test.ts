import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readModelSource, readSafetensors } from '@largeforge/engine';
import { describe, expect, it, vi } from 'vitest';
import { quantizeStep } from './command.js';
import { Quantizing, tinyBase } from './quantize.fixture.js';

const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

describe('quantising a model', () => {
  it('writes a checkpoint that the engine reads, with a report of what it lost', async () => {
    await using quantizing = await Quantizing.start();
    const outputs = await quantizing.run('rtn', { bits: 8 });
    const folder = outputs.model as string;
    expect(json(join(folder, 'config.json')).quantization_config).toMatchObject({
      quant_method: 'gptq',
      bits: 8,
      group_size: 32,
      desc_act: false,
      sym: true,
      checkpoint_format: 'gptq',
    });
    const { tensors } = readModelSource(folder);
    expect(tensors.get('model.layers.0.mlp.down_proj.weight')!.shape).toEqual([160, 448]);
    expect(tensors.get('model.embed_tokens.weight')!.dtype).toBe('f32');
    const report = json(outputs.report as string);
    expect(report.comparison.perplexityRatio).toBeCloseTo(1, 2);
    expect(report.comparison.kl).toBeLessThan(1e-3);
    expect(report.comparison.top1).toBeGreaterThan(0.97);
    expect(report.layers).toHaveLength(6 * 7);
    // 8 bits, a scale of 16 for 32 weights, a zero of 8 for 32 weights, and indices.
    expect(outputs.bitsPerWeight).toBeGreaterThan(8.75);
    expect(outputs.bitsPerWeight).toBeLessThan(9);
    expect(readFileSync(outputs.page as string, 'utf8')).toContain('Quantised by rtn');
  });

  it.each([
    ['gptq', false, 4, ['qweight', 'qzeros', 'scales', 'g_idx']],
    ['awq', true, 4, ['qweight', 'qzeros', 'scales']],
    ['awq', false, 4, ['qweight', 'qzeros', 'scales']],
    ['compressed-tensors', true, 8, ['weight_packed', 'weight_scale', 'weight_shape']],
    ['compressed-tensors', false, 4, ['weight_packed', 'weight_scale', 'weight_shape', 'weight_zero_point']],
  ])('as %s, symmetric %s, %i bits, predicts as it was measured to', async (format, symmetric, bits, fields) => {
    await using quantizing = await Quantizing.start();
    const outputs = await quantizing.run('rtn', { format, symmetric, bits });
    const { tensors } = readSafetensors(join(outputs.model as string, 'model.safetensors'));
    const own = [...tensors.keys()].filter((name) => name.startsWith('model.layers.2.self_attn.v_proj.'));
    expect(own.map((name) => name.split('.').at(-1)).sort()).toEqual([...fields].sort());
    // The comparison is of the model as it was read back from these files.
    expect(json(outputs.report as string).comparison.kl).toBeLessThan(0.1);
  });

  it('leaves nothing behind when a model fails its gate, but the report of why', async () => {
    await using quantizing = await Quantizing.start();
    const failing = quantizing.run('rtn', {
      bits: 2,
      gate: { maxKl: 0.001, minTop1: 0.999, maxPerplexityRatio: 1.001 },
    });
    await expect(failing).rejects.toThrow(
      /failed its gate: perplexity rose by a factor of .*KL divergence .*most likely token/,
    );
    expect(existsSync(quantizing.path('out'))).toBe(false);
    const report = json(join(quantizing.path('out-rejected'), 'report.json'));
    expect(report.failures).toHaveLength(3);
    expect(report.layers).toHaveLength(42);
  });

  it('keeps the model of before when another one fails', async () => {
    await using quantizing = await Quantizing.start();
    await quantizing.run('rtn', { bits: 8 });
    const before = readFileSync(join(quantizing.path('out'), 'config.json'), 'utf8');
    await expect(quantizing.run('rtn', { bits: 2, gate: { maxKl: 1e-6 } })).rejects.toThrow(/gate/);
    expect(readFileSync(join(quantizing.path('out'), 'config.json'), 'utf8')).toBe(before);
    expect(readdirSync(quantizing.path('out')).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe('what cannot be quantised', () => {
  it.each([
    [{ samples: 1000 }, /has \d+ tokens, but 1000 windows of 64 need 64000/],
    [{ sequenceLength: 4096, samples: 1 }, /longer than the model's 1024 positions/],
    [{ groupSize: 48 }, /a group size of 48 does not divide the 160 inputs of model\.layers\.0\.self_attn\.q_proj/],
    [{ bits: 5 }, /bits/],
    [{ bits: 8, format: 'awq' }, /the format awq holds 4 bits, not 8/],
    [{ bits: 3, format: 'compressed-tensors' }, /compressed-tensors holds 4 and 8 bits, not 3/],
    [{ calibration: 'nowhere.txt' }, /nowhere\.txt cannot be read/],
    [{ outputDir: tinyBase }, /is the model that is read/],
  ])('says why: %o', async (options, message) => {
    await using quantizing = await Quantizing.start();
    await expect(quantizing.run('rtn', options)).rejects.toThrow(message);
    expect(existsSync(quantizing.path('out'))).toBe(false);
  });

  it('names the weight that is no number', async () => {
    await using quantizing = await Quantizing.start();
    const { model } = await quantizing.run('rtn', { bits: 8, outputDir: quantizing.path('copy') });
    const broken = model as string;
    // The plain base again, with one value of one layer broken.
    for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
      writeFileSync(join(broken, name), readFileSync(join(tinyBase, name)));
    }
    const bytes = readFileSync(join(tinyBase, 'model.safetensors'));
    const { tensors } = readSafetensors(join(tinyBase, 'model.safetensors'));
    bytes.writeUInt16LE(0x7fc0, tensors.get('model.layers.3.mlp.up_proj.weight')!.offset + 2 * (160 * 2 + 5));
    writeFileSync(join(broken, 'model.safetensors'), bytes);
    await expect(quantizing.run('rtn', { model: broken })).rejects.toThrow(
      /the weight of model\.layers\.3\.mlp\.up_proj has a value at row 2, column 5 that is no finite number/,
    );
    expect(existsSync(quantizing.path('out'))).toBe(false);
  });

  it('says which line of a .jsonl file is no text', async () => {
    await using quantizing = await Quantizing.start();
    const calibration = quantizing.write('rows.jsonl', '{"text": "fine"}\n{"body": "not"}\n');
    await expect(quantizing.run('rtn', { calibration })).rejects.toThrow(/line 2 has neither a string "text"/);
  });
});

describe('the command line', () => {
  it('means a step of its method', () => {
    const step = quantizeStep({
      method: 'gptq',
      model: 'm',
      calibration: 'c',
      asymmetric: true,
      maxKl: 0.1,
      bits: undefined,
    });
    expect(step).toEqual({
      name: 'quantize',
      stage: 'optimize',
      use: 'gptq',
      with: { model: 'm', calibration: 'c', symmetric: false, gate: { maxKl: 0.1 } },
    });
  });
});

describe('calibration and gate', () => {
  it('calibrates on texts that the model writes itself, the same for the same seed', async () => {
    await using quantizing = await Quantizing.start();
    const options = { calibration: 'self', samples: 4, sequenceLength: 32, seed: 3 };
    const outputs = await quantizing.run('rtn', options);
    const report = json(outputs.report as string);
    expect(report.calibration).toEqual({ source: 'self', windows: 4, sequenceLength: 32 });
    const again = await quantizing.run('rtn', { ...options, outputDir: quantizing.path('again') });
    expect(json(again.report as string).comparison.kl).toBe(report.comparison.kl);
  });

  it('calibrates on a data set of any format, through the chat template', async () => {
    await using quantizing = await Quantizing.start();
    const rows = Array.from({ length: 40 }, (_, i) =>
      JSON.stringify({
        instruction: `Count to ${i}`,
        input: '',
        output: Array.from({ length: i }, (_, n) => n).join(' '),
      }),
    );
    const paths = [quantizing.write('rows.jsonl', rows.join('\n'))];
    const outputs = await quantizing.run('rtn', { calibration: { paths, format: 'alpaca' }, samples: 2 });
    expect(json(outputs.report as string).comparison.windows).toBeGreaterThan(0);
  });

  it('calibrates on a data set of the Hugging Face cache by its name', async () => {
    await using quantizing = await Quantizing.start();
    const repository = join(quantizing.path('hub'), 'datasets--someone--chores');
    const snapshot = join(repository, 'snapshots', 'c0ffee');
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(repository, 'refs'));
    writeFileSync(join(repository, 'refs', 'main'), 'c0ffee');
    const rows = Array.from({ length: 60 }, (_, i) =>
      JSON.stringify({ text: `Set a timer for ${i} minutes, please.` }),
    );
    writeFileSync(join(snapshot, 'train.jsonl'), rows.join('\n'));
    vi.stubEnv('HF_HUB_CACHE', quantizing.path('hub'));
    try {
      const outputs = await quantizing.run('rtn', { calibration: 'someone/chores', samples: 4, sequenceLength: 32 });
      const report = json(outputs.report as string);
      expect(report.calibration).toEqual({ source: 'someone/chores', windows: 4, sequenceLength: 32 });
      expect(report.comparison.windows).toBeGreaterThan(0);
      // The same rows, named as a file, are the same calibration.
      const calibration = { paths: [join(snapshot, 'train.jsonl')] };
      const file = { calibration, samples: 4, sequenceLength: 32, outputDir: quantizing.path('file') };
      const again = await quantizing.run('rtn', file);
      expect(json(again.report as string).comparison.kl).toBe(report.comparison.kl);
      const unknown = quantizing.run('rtn', { calibration: 'someone/else', outputDir: quantizing.path('none') });
      await expect(unknown).rejects.toThrow(/someone\/else/);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('measures tasks before and after, refuses a drop, and shows where the predictions go astray', async () => {
    await using quantizing = await Quantizing.start();
    const data = Array.from({ length: 12 }, (_, i) =>
      JSON.stringify({
        question: `How many minutes is timer ${i}?`,
        choices: { text: [`${i} minutes`, 'milk', 'seven trees'], label: ['A', 'B', 'C'] },
        answerKey: 'ABC'[i % 3],
      }),
    ).join('\n');
    const tasks = { names: ['arc_easy'], data: { arc_easy: quantizing.write('arc.jsonl', data) } };
    const outputs = await quantizing.run('rtn', { bits: 8, gate: { tasks: { ...tasks, maxDrop: 0.5 } } });
    const report = json(outputs.report as string);
    expect(report.tasks).toMatchObject([{ task: 'arc_easy', metric: 'acc', documents: 12 }]);
    expect(report.tasks[0].after).toBeCloseTo(report.tasks[0].before, 1);
    expect(report.checks).toMatchObject([{ name: 'arc_easy: drop of acc', passed: true }]);
    expect(report.comparison.drift).toHaveLength(6);
    const failing = quantizing.run('rtn', { bits: 8, gate: { tasks: { ...tasks, failUnder: { arc_easy: 1 } } } });
    await expect(failing).rejects.toThrow(/acc of arc_easy is .* below 100.0 %/);
  });
});
