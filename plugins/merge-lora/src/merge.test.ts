import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asCausal, attachLora, loadModel, openDevice, readSafetensors, saveAdapter, Tensor } from '@largeforge/engine';
import quantize from '@largeforge/quantize';
import { describe, expect, it } from 'vitest';
import { mergeStep } from './command.js';
import { difference, fixture, Merging, tensorOf } from './merge.fixture.js';

const backendLibrary = fileURLToPath(new URL('../../backend-cpu/build/liblargeforge_cpu.so', import.meta.url));
const modules = ['model.layers.0.self_attn.q_proj', 'model.layers.0.mlp.down_proj'];
const weight = (folder: string, module: string) => tensorOf(join(folder, 'model.safetensors'), `${module}.weight`);

describe('several adapters become one as in PEFT', () => {
  it.each([
    ['linear', {}],
    ['linear-negative', { weights: [1, -0.5] }],
    ['cat', { pair: 'ac' }],
    ['svd', { pair: 'ac' }],
    ['svd-3', { pair: 'ac', rank: 3 }],
    ['ties', { density: 0.5 }],
    ['ties-frequency', { density: 0.4, majoritySign: 'frequency' }],
    ['ties_svd', { density: 0.5 }],
    ['dare_linear', { density: 0.6 }],
    ['dare_ties', { density: 0.6 }],
    ['dare_linear_svd', { density: 0.6 }],
    ['dare_ties_svd', { density: 0.6 }],
    ['magnitude_prune', { density: 0.3 }],
    ['magnitude_prune_svd', { density: 0.3 }],
  ])('%s', async (name, { pair = 'ab', weights = [0.7, 0.5], ...options }: Record<string, unknown>) => {
    await using merging = await Merging.start();
    const adapter = [...(pair as string)].map((letter, i) => ({
      path: fixture(`adapter-${letter}`),
      weight: (weights as number[])[i],
    }));
    const method = name.split('-')[0];
    const outputs = await merging.run('merge-lora', { adapter, method, ...options });
    for (const module of modules) {
      const added = weight(outputs.model as string, module);
      const base = weight(fixture('base'), module);
      for (let i = 0; i < added.length; i++) added[i]! -= base[i]!;
      const expected = tensorOf(fixture('peft.safetensors'), `${name}/${module}`);
      expect(difference(added, expected), module).toBeLessThan(2e-5);
    }
    // What was written predicts as the base with the combined adapter beside it.
    expect(outputs.logitDifference).toBeLessThan(1e-5);
    expect(outputs.sameBest).toBe(1);
  });
});

describe('several models become one as in mergekit', () => {
  const tuned = (density?: number) => [
    { path: fixture('tuned-a'), weight: 0.7, ...(density && { density }) },
    { path: fixture('tuned-b'), weight: 0.5, ...(density && { density }) },
  ];
  const baseModel = fixture('base');
  it.each([
    ['linear', { models: tuned() }],
    ['slerp', { baseModel, models: [fixture('tuned-a')], t: 0.3 }],
    ['task_arithmetic', { baseModel, models: tuned() }],
    ['ties', { baseModel, models: tuned(0.5) }],
    ['dare_linear', { baseModel, models: tuned(0.5) }],
    ['dare_ties', { baseModel, models: tuned(0.5), lambda: 0.8 }],
  ])('%s', async (method, options) => {
    await using merging = await Merging.start();
    const outputs = await merging.run('merge-models', { method, ...options });
    for (const module of modules) {
      const expected = tensorOf(fixture('mergekit.safetensors'), `${method}/${module}`);
      expect(difference(weight(outputs.model as string, module), expected), module).toBeLessThan(1e-6);
    }
    expect(JSON.parse(readFileSync(outputs.report as string, 'utf8')).comparison.kl).toBeGreaterThan(0);
  });

  it('reaches either end of slerp', async () => {
    await using merging = await Merging.start();
    for (const [t, end] of [
      [0, 'base'],
      [1, 'tuned-a'],
    ] as const) {
      const outputs = await merging.run('merge-models', {
        method: 'slerp',
        baseModel,
        models: [fixture('tuned-a')],
        t,
      });
      for (const module of modules) {
        expect(difference(weight(outputs.model as string, module), weight(fixture(end), module))).toBeLessThan(1e-6);
      }
    }
  });
});

describe('merging', () => {
  it.each([
    ['GPTQ checkpoint', 'rtn', { calibration: 'self', samples: 1, sequenceLength: 16 }],
    ['GGUF file', 'gguf', { type: 'q4_1' }],
  ])(
    'goes into a quantised base, a %s: what its codes mean, with the adapter, is written unquantised',
    async (_, use, options) => {
      await using merging = await Merging.start(quantize);
      const model = fileURLToPath(new URL('../../../examples/quickstart/base', import.meta.url));
      const quantized = await merging.test.runStep({
        stage: 'optimize',
        use,
        with: { model, outputDir: merging.path('4bit'), ...options },
      });
      await randomAdapter(quantized.model as string, merging.path('adapter'));
      const outputs = await merging.run('merge-lora', { adapter: merging.path('adapter') });
      expect(outputs.logitDifference).toBeLessThan(1e-5);
      const config = JSON.parse(readFileSync(join(outputs.model as string, 'config.json'), 'utf8'));
      expect(config.quantization_config).toBeUndefined();
    },
  );

  it('rounds once, and leaves the combined adapter when it is asked for', async () => {
    await using merging = await Merging.start();
    const adapter = [fixture('adapter-a'), { path: fixture('adapter-c'), weight: 0.5 }];
    const adapterOutputDir = merging.path('combined');
    const exact = await merging.run('merge-lora', { adapter, adapterOutputDir });
    const rounded = await merging.run('merge-lora', { adapter, dtype: 'bf16', outputDir: merging.path('bf16') });
    const values = weight(exact.model as string, modules[0]!);
    const { offset, bytes } = readSafetensors(join(rounded.model as string, 'model.safetensors')).tensors.get(
      `${modules[0]}.weight`,
    )!;
    const file = readFileSync(join(rounded.model as string, 'model.safetensors')).subarray(offset, offset + bytes);
    values.forEach((value, i) => {
      expect(file.readUInt16LE(2 * i)).toBe(nearestBf16(value));
    });
    const config = JSON.parse(readFileSync(join(adapterOutputDir, 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 6,
      lora_alpha: 6,
      base_model_name_or_path: fixture('base'),
    });
    // The combined adapter alone gives the same model.
    const again = await merging.run('merge-lora', {
      adapter: adapterOutputDir,
      outputDir: merging.path('again'),
    });
    expect(weight(again.model as string, modules[0]!)).toEqual(values);
  });

  it('keeps the model of before when the merged one fails its gate', async () => {
    await using merging = await Merging.start();
    const models = [fixture('tuned-a'), fixture('tuned-b')];
    const kept = await merging.run('merge-models', { method: 'linear', models });
    const before = readFileSync(join(kept.model as string, 'model.safetensors'));
    const none = merging.run('merge-models', { method: 'linear', models, gate: { maxKl: 1 } });
    await expect(none).rejects.toThrow(/nothing|gate.dataset is not given/);
    expect(readFileSync(join(kept.model as string, 'model.safetensors'))).toEqual(before);
  });

  it.each([
    ['merge-lora', { adapter: ['adapter-a', 'adapter-c'], method: 'ties' }, /needs one rank.*is 2 and elsewhere 4/],
    ['merge-lora', { adapter: ['adapter-a', 'adapter-b'], rank: 3 }, /cat takes no rank/],
    ['merge-lora', { adapter: ['adapter-a'], method: 'ties' }, /combines several adapters/],
    ['merge-lora', { adapter: ['adapter-x'] }, /adapter-x/],
    ['merge-models', { models: ['tuned-a', 'tuned-b'], method: 'slerp' }, /slerp needs a baseModel/],
    ['merge-models', { baseModel: 'base', models: ['tuned-a', 'tuned-b'], method: 'slerp' }, /one other model/],
    ['merge-models', { baseModel: 'base', models: ['tuned-a'], method: 'linear' }, /takes no baseModel/],
    [
      'merge-models',
      { models: [{ path: 'tuned-a' }, { path: 'tuned-b', weight: -1 }], method: 'linear' },
      /add up to 0/,
    ],
  ])('says what cannot be merged, and writes nothing: %s %o', async (use, options, message) => {
    await using merging = await Merging.start();
    const placed = (value: unknown): unknown => {
      if (typeof value === 'string') return fixture(value);
      const { path, ...rest } = value as { path: string };
      return { path: fixture(path), ...rest };
    };
    const { adapter, models, baseModel, ...rest } = options as Record<string, unknown>;
    const failing = merging.run(use, {
      ...rest,
      ...(adapter !== undefined && { adapter: (adapter as unknown[]).map(placed) }),
      ...(models !== undefined && { models: (models as unknown[]).map(placed) }),
      ...(baseModel !== undefined && { baseModel: placed(baseModel) }),
    });
    await expect(failing).rejects.toThrow(message as RegExp);
    expect(existsSync(merging.path('merged'))).toBe(false);
  });

  it.each([
    [
      'merge-lora',
      { adapter: 'adapter-a' },
      'adapter-a/adapter_model.safetensors',
      /adapter-a has values that are no finite/,
    ],
    [
      'merge-lora',
      { adapter: ['adapter-a', 'adapter-b'] },
      'adapter-a/adapter_model.safetensors',
      /adapter-a has values/,
    ],
    [
      'merge-lora',
      { adapter: 'adapter-a' },
      'base/model.safetensors',
      /LF_ENGINE_WEIGHT_NOT_FINITE|is no finite number as f32/,
    ],
    [
      'merge-models',
      { models: ['tuned-a', 'tuned-b'], method: 'linear' },
      'tuned-b/model.safetensors',
      /tuned-b has values.* in /,
    ],
  ])('refuses NaN and writes nothing: %s %o, %s', async (use, options, damaged, message) => {
    await using merging = await Merging.start();
    cpSync(fixture('.'), merging.path('.'), { recursive: true });
    const file = merging.path(damaged);
    const { tensors } = readSafetensors(file);
    const content = readFileSync(file);
    content.writeFloatLE(Number.NaN, [...tensors.values()].at(-1)!.offset);
    writeFileSync(file, content);
    const placed = Object.fromEntries(
      Object.entries(options).map(([key, value]) => [
        key,
        key === 'method'
          ? value
          : Array.isArray(value)
            ? value.map((name) => merging.path(name))
            : merging.path(value as string),
      ]),
    );
    await expect(merging.run(use, placed)).rejects.toThrow(message);
    expect(existsSync(merging.path('merged'))).toBe(false);
  });

  it('refuses models of other shapes, and names the tensor', async () => {
    await using merging = await Merging.start();
    const other = new URL('../../../examples/quickstart/base', import.meta.url).pathname;
    const failing = merging.run('merge-models', { method: 'linear', models: [fixture('tuned-a'), other] });
    await expect(failing).rejects.toThrow(/cannot be merged with .*: model\.embed_tokens\.weight is \[/);
  });
});

describe('the command line', () => {
  it('means a merge of adapters or of models, with weights behind the paths', () => {
    expect(mergeStep({ adapter: ['./a=0.7', './b'], method: 'ties', density: 0.5, outputDir: 'o' })).toEqual({
      name: 'merge',
      stage: 'optimize',
      use: 'merge-lora',
      with: { adapter: [{ path: './a', weight: 0.7 }, { path: './b' }], method: 'ties', density: 0.5, outputDir: 'o' },
    });
    expect(mergeStep({ model: ['./a=-1'], method: 'task_arithmetic', baseModel: './c' }).with).toMatchObject({
      models: [{ path: './a', weight: -1 }],
    });
    expect(mergeStep({ adapter: ['a'], gateDataset: 'text', maxKl: 0.1 }).with).toMatchObject({
      gate: { dataset: 'text', maxKl: 0.1 },
    });
    expect(() => mergeStep({})).toThrow(/--adapter/);
    expect(() => mergeStep({ adapter: ['a'], model: ['b'] })).toThrow(/two kinds/);
  });
});

/** An adapter whose branches do something. */
async function randomAdapter(baseModel: string, folder: string): Promise<void> {
  using device = openDevice({ library: backendLibrary });
  const model = asCausal(await loadModel(device, baseModel, { dtype: 'f32' }));
  attachLora(model, { r: 4 });
  for (const { adapter } of model.linears.values()) {
    using values = Tensor.from(
      device,
      Float32Array.from({ length: adapter!.b.elements }, (_, i) => Math.sin(i) / 50),
      adapter!.b.shape,
    );
    adapter!.b.assign(values);
  }
  await saveAdapter(model, folder, { baseModel });
}

/** Round to nearest, ties to even. */
function nearestBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
