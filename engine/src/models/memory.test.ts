import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Tape, withTape } from '../autograd/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import type { Parameter } from '../nn/parameter.js';
import { Tensor } from '../tensor/index.js';
import { WeightAverage } from '../training/optimizer/average.js';
import { Optimizer } from '../training/optimizer/optimizer.js';
import { optimizerOptions } from '../training/options.js';
import { packSequences } from './batch.js';
import { CAUSAL, goldenFiles } from './golden.fixture.js';
import { asCausal, createModel, loadModelFiles, parseModelConfig } from './load.js';
import { attachLora, detachLora } from './lora/attach.js';
import { estimateMemory, type MemoryPlan } from './memory.js';

const CONFIG = {
  model_type: 'qwen3',
  vocab_size: 512,
  hidden_size: 96,
  intermediate_size: 256,
  num_hidden_layers: 4,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 16,
  tie_word_embeddings: true,
};
const LENGTHS = [128, 64, 192];
const TOKENS = 384;

let device: Device;
beforeAll(() => {
  device = cpuDevice({ debug: false });
});
afterAll(() => device.close());

/** Peak of activations of one step, and what is held for good, by the device's counters. */
async function measure({ dtype, training }: MemoryPlan, config: Record<string, unknown> = CONFIG) {
  const before = device.stats().persistentBytes;
  using model = asCausal(createModel(device, config, { dtype }));
  const drawn = device.stats().persistentBytes - before;
  if (training?.lora) attachLora(model, training.lora);
  else if (training) model.setTrainable(true);
  model.prepare({ backward: training !== undefined });
  const batch = packSequences(LENGTHS.map((n) => Int32Array.from({ length: n }, (_, i) => (i * 31) % 512)));
  const step = () => {
    using tape = new Tape();
    const forward = () => {
      using hidden = model.hidden(batch, { checkpointing: training?.checkpointing });
      model.crossEntropy(hidden, batch.tokens, { gradScale: 1 }).nll.dispose();
    };
    if (training) withTape(tape, forward);
    else forward();
    tape.backward();
  };
  step();
  await device.flush();
  const idle = device.stats().transientBytes;
  const { deviceAllocations } = device.stats();
  device.resetPeak();
  step();
  await device.flush();
  const { peakTransientBytes, persistentBytes } = device.stats();
  expect(device.stats().transientBytes, 'a step leaves nothing behind').toBe(idle);
  expect(device.stats().deviceAllocations, 'a second step takes nothing from the device').toBe(deviceAllocations);
  // A model that was drawn holds its values, and a table, besides what is packed; one from files does not.
  const held = persistentBytes - before - (training && !training.lora ? 0 : drawn);
  const trainable = [...model.trainableParameters().values()].reduce((sum, p) => sum + p.elements, 0);
  return { activations: peakTransientBytes - idle, held, trainable };
}

describe.each(['f32', 'bf16'] as const)('in %s the estimate is near what is measured', (dtype) => {
  const plans: [string, MemoryPlan['training']][] = [
    ['full', {}],
    ['full, checkpointing', { checkpointing: true }],
    ['LoRA', { lora: { r: 8 } }],
    [
      'LoRA of some layers, checkpointing',
      { lora: { r: 4, targetModules: ['q_proj', 'down_proj'] }, checkpointing: true },
    ],
    ['LoRA, every other block again', { lora: { r: 8 }, checkpointing: { every: 2 } }],
    ['full, the first three blocks again', { checkpointing: { first: 3 } }],
    ['DoRA', { lora: { r: 8, dora: true } }],
    [
      'DoRA of some layers, checkpointing',
      { lora: { r: 4, dora: true, targetModules: ['o_proj', 'up_proj'] }, checkpointing: true },
    ],
    ['inference', undefined],
  ];
  test.each(plans)('%s', async (_, training) => {
    const plan = { dtype, tokens: TOKENS, training };
    const estimate = estimateMemory(parseModelConfig(CONFIG), plan);
    const measured = await measure(plan);
    expect(estimate.trainableParameters).toBe(measured.trainable);
    expect(measured.activations / estimate.activations).toBeGreaterThan(0.9);
    expect(measured.activations / estimate.activations).toBeLessThan(1.1);
    const weights = estimate.weights + estimate.gradients;
    expect(measured.held / weights).toBeGreaterThan(0.85);
    expect(measured.held / weights).toBeLessThan(1.25);
  });
});

describe.each([
  ['gpt2', { n_embd: 96, n_layer: 4, n_head: 6, n_inner: 256, n_positions: 256 }],
  ['gpt_neox', { tie_word_embeddings: true }],
  ['phi3', {}],
  ['gemma2', { query_pre_attn_scalar: 16 }],
  ['gemma3_text', {}],
  ['mixtral', { num_local_experts: 6, intermediate_size: 128 }],
  [
    'qwen2_moe',
    { num_experts: 6, num_experts_per_tok: 2, moe_intermediate_size: 64, shared_expert_intermediate_size: 128 },
  ],
])('a %s model is estimated as well', (modelType, change) => {
  const config = { ...CONFIG, num_attention_heads: 6, ...change, model_type: modelType };
  test.each([
    ['full', {}],
    ['full, checkpointing', { checkpointing: true }],
    ['LoRA', { lora: { r: 8 } }],
    ['inference', undefined],
  ] as [string, MemoryPlan['training']][])('%s', async (_, training) => {
    for (const dtype of ['f32', 'bf16'] as const) {
      const plan = { dtype, tokens: TOKENS, training };
      const estimate = estimateMemory(parseModelConfig(config), plan);
      const measured = await measure(plan, config);
      expect(estimate.trainableParameters).toBe(measured.trainable);
      expect(measured.activations / estimate.activations, dtype).toBeGreaterThan(0.85);
      expect(measured.activations / estimate.activations, dtype).toBeLessThan(1.15);
    }
  });
});

test('an encoder is estimated as well', async () => {
  const config = {
    model_type: 'bert',
    vocab_size: 256,
    hidden_size: 96,
    intermediate_size: 256,
    num_hidden_layers: 4,
    num_attention_heads: 6,
    max_position_embeddings: 256,
  };
  for (const checkpointing of [false, true]) {
    const estimate = estimateMemory(parseModelConfig(config), {
      dtype: 'f32',
      tokens: TOKENS,
      training: { checkpointing },
    });
    using model = createModel(device, config);
    model.setTrainable(true);
    const batch = packSequences(LENGTHS.map((n) => new Int32Array(n)));
    const before = device.stats().transientBytes;
    device.resetPeak();
    using tape = new Tape();
    using hidden = withTape(tape, () => model.hidden(batch, { checkpointing }));
    using gradient = Tensor.full(device, hidden.shape, 1);
    tape.backward({ tensor: hidden, gradient });
    const measured = device.stats().peakTransientBytes - before;
    expect(measured / estimate.activations).toBeGreaterThan(0.85);
    expect(measured / estimate.activations).toBeLessThan(1.15);
    expect([...model.parameters().values()].reduce((sum, p) => sum + p.elements, 0)).toBe(estimate.parameters);
  }
});

test('the parts add up, and the numbers of a known model are right', () => {
  // SmolLM2-135M.
  const config = parseModelConfig({
    model_type: 'llama',
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    tie_word_embeddings: true,
  });
  const full = estimateMemory(config, { dtype: 'bf16', tokens: 2048, training: {}, cachePositions: 1000 });
  expect(full.parameters).toBe(134_515_008);
  expect(full.optimizer).toBe(8 * full.parameters);
  expect(full.cache).toBe(2 * 30 * 3 * 64 * 1000 * 2);
  const codes = estimateMemory(config, { dtype: 'bf16', tokens: 1, cachePositions: 1000, cacheType: 'i8' });
  expect(codes.cache).toBe(2 * 30 * 3 * (64 + 4) * 1000);
  expect(full.total).toBe(full.weights + full.gradients + full.optimizer + full.activations + full.cache);
  const lora = estimateMemory(config, { dtype: 'bf16', tokens: 2048, training: { lora: { r: 16 } } });
  expect(lora.trainableParameters).toBe(4_884_480);
});

describe.each(CAUSAL)('parameters of %s are counted', (name) => {
  const elements = (parameters: Map<string, Parameter>) =>
    [...parameters.values()].reduce((sum, parameter) => sum + parameter.elements, 0);

  test('all of them, and those of adapters on every layer or on some', () => {
    using model = asCausal(loadModelFiles(device, goldenFiles(name), { dtype: 'f32' }));
    const { config } = model;
    const plan = { dtype: 'f32', tokens: 8 } as const;
    expect(estimateMemory(config, plan).parameters).toBe(elements(model.parameters()));
    const last = config.modules.attentionOutput.split('.').at(-1)!;
    for (const targetModules of ['all-linear', [last]] as const) {
      attachLora(model, { r: 3, targetModules });
      const estimate = estimateMemory(config, { ...plan, training: { lora: { r: 3, targetModules } } });
      expect(estimate.trainableParameters).toBe(elements(model.trainableParameters()));
      detachLora(model);
    }
  });
});

/** The shape of Llama 2 70B. */
const LARGE = {
  model_type: 'llama',
  vocab_size: 32000,
  hidden_size: 8192,
  intermediate_size: 28672,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  head_dim: 128,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
};

describe('a model of 70 billion parameters', () => {
  test('is planned from its shape alone', () => {
    const config = parseModelConfig(LARGE);
    const wide = estimateMemory(config, { dtype: 'bf16', tokens: 512 });
    expect(wide.parameters / 1e9).toBeCloseTo(68.98, 2);
    // The embedding table stays in its file.
    expect(wide.weights / 1e9).toBeCloseTo(2 * (68.98 - 0.262), 1);
    const narrow = estimateMemory(config, { dtype: 'bf16', tokens: 512, weightBits: 4.1875 });
    expect(narrow.weights / 1e9).toBeCloseTo((68.45 * 4.1875) / 8 + 0.524, 1);
  });

  test('is refused before anything of it is read', () => {
    const small = cpuDevice({ memoryLimit: 4e9 });
    const layer = (i: number) =>
      [
        ['self_attn.q_proj', 8192, 8192],
        ['self_attn.k_proj', 1024, 8192],
        ['self_attn.v_proj', 1024, 8192],
        ['self_attn.o_proj', 8192, 8192],
        ['mlp.gate_proj', 28672, 8192],
        ['mlp.up_proj', 28672, 8192],
        ['mlp.down_proj', 8192, 28672],
        ['input_layernorm', 8192],
        ['post_attention_layernorm', 8192],
      ].map(([name, ...shape]) => [`model.layers.${i}.${name}.weight`, shape] as [string, number[]]);
    const tensors: [string, number[]][] = [
      ['model.embed_tokens.weight', [32000, 8192]],
      ['lm_head.weight', [32000, 8192]],
      ['model.norm.weight', [8192]],
      ...Array.from({ length: 80 }, (_, i) => layer(i)).flat(),
    ];
    const entries = tensors.map(([name, shape]) => {
      const bytes = 2 * shape.reduce((a, b) => a * b, 1);
      return [name, { name, shape, dtype: 'bf16' as const, file: '/nowhere', offset: 0, bytes }] as const;
    });
    const model = asCausal(loadModelFiles(small, { config: LARGE, tensors: new Map(entries) }));
    expect(() => model.prepare()).toThrow(
      expect.objectContaining({
        code: 'LF_ENGINE_MODEL_TOO_LARGE',
        message: expect.stringMatching(/69\.0 billion parameters take 137\.2 GB, and [0-4]\.\d GB are free/),
      }),
    );
    expect(small.memory().allocated).toBe(0);
    model.dispose();
    small.close();
  });
});

describe.each(['adamw', 'adamw_8bit', 'lion', 'adafactor', 'muon'] as const)('what %s remembers', (type) => {
  const config = { ...CONFIG, hidden_size: 192, intermediate_size: 512, tie_word_embeddings: false };
  test.each([
    ['of every weight', undefined, false],
    ['of every weight, with their average', undefined, true],
    ['of an adapter', { r: 32 }, false],
    ['of DoRA with the head beside it, and their average', { r: 32, dora: true, modulesToSave: ['lm_head'] }, true],
  ])('%s is estimated', (_, lora, average) => {
    using model = asCausal(createModel(device, config, { dtype: 'f32' }));
    if (lora) attachLora(model, lora);
    else model.setTrainable(true);
    const parameters = model.trainableParameters();
    using norm = Tensor.zeros(device, [2], 'f32', 'persistent');
    const before = device.stats().persistentBytes;
    using _optimizer = new Optimizer(device, parameters, optimizerOptions.parse({ type, learningRate: 1 }), norm, 4);
    using _average = average ? new WeightAverage(parameters, 0.9) : undefined;
    const held = device.stats().persistentBytes - before;
    const training = { optimizer: type, average, ...(lora ? { lora } : {}) };
    const estimate = estimateMemory(parseModelConfig(config), { dtype: 'f32', tokens: 1, training });
    expect(estimate.trainableParameters).toBe(
      [...parameters.values()].reduce((sum, { elements }) => sum + elements, 0),
    );
    // Rows and columns of Adafactor are not counted.
    const uncounted = type === 'adafactor' ? 0.15 * 4 * estimate.trainableParameters : 0;
    expect(held).toBeGreaterThan(0.99 * estimate.optimizer);
    expect(held).toBeLessThan(1.02 * estimate.optimizer + uncounted + 1024 * parameters.size);
  });
});
