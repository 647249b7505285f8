import {
  asCausal,
  attachLora,
  createModel,
  GenerationEngine,
  greedy,
  ModelExecutor,
  memoryRows,
  nextTokenObjective,
  PhiloxStream,
  train,
  trainingOptions,
} from '@largeforge/engine';

/** The shape of SmolLM2-135M; weights are random. */
export const shape = {
  model_type: 'llama',
  vocab_size: 49152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  head_dim: 64,
  hidden_act: 'silu',
  max_position_embeddings: 4096,
  initializer_range: 0.02,
  rms_norm_eps: 1e-5,
  rope_theta: 100000,
  tie_word_embeddings: true,
};

const randomTokens = (length, stream) => {
  const random = new PhiloxStream(7, stream);
  return Int32Array.from({ length }, () => random.below(shape.vocab_size));
};

/** Forward, backward, clip and AdamW over 4 rows of 512 tokens, every token a target. */
const trainingStep = (name, dtype, prepare) => ({
  name: `${name}-${dtype}`,
  peer: `${name} ${dtype}`,
  tokens: 4 * 512,
  async measure(device, report, repetitions) {
    const model = asCausal(createModel(device, shape, { dtype }));
    prepare(model);
    const rows = Array.from({ length: 4 }, (_, i) => ({
      tokens: randomTokens(512, i),
      mask: new Uint8Array(512).fill(1),
    }));
    let clock = new Clock();
    await train({
      model,
      objective: nextTokenObjective(model),
      rows: memoryRows(rows, (row) => row.tokens.length, 'bench'),
      options: trainingOptions.parse({
        maxSteps: repetitions,
        batchSize: 4,
        order: 'sequential',
        optimizer: { learningRate: 1e-4 },
        schedule: { type: 'constant', warmupSteps: 0 },
      }),
      onEvent: async (event) => {
        if (event.type !== 'step') return;
        await report(clock.read(), event.step - 1);
        clock = new Clock();
      },
    });
    model.dispose();
  },
});

/** LoRA r 16 on every linear layer. */
const loraStep = (dtype) =>
  trainingStep('lora', dtype, (model) => attachLora(model, { r: 16, alpha: 32, targetModules: 'all-linear' }));

/** Every weight trained: f32 masters, moments and gradients. */
const fullStep = (dtype) => trainingStep('full', dtype, (model) => model.setTrainable(true));

/** The time since it was made: what passed, and what processors worked for this process. */
class Clock {
  started = performance.now();
  usage = process.cpuUsage();

  read() {
    const { user, system } = process.cpuUsage(this.usage);
    return { seconds: (performance.now() - this.started) / 1000, processor: (user + system) / 1e6 };
  }
}

function engineOf(model, batchTokens) {
  return new GenerationEngine({
    executor: new ModelExecutor(model, { maxSequences: 1 }),
    contextLength: 4096,
    eosTokenIds: [],
    decoder: () => ({ push: () => 'x', flush: () => '' }),
    limits: { maxBatchTokens: batchTokens, maxPrefillChunk: batchTokens },
  });
}

/** One prompt to its first token, through the generation engine. */
const prefill = (length, dtype) => ({
  name: `prefill-${length}-${dtype}`,
  peer: `prefill ${dtype} ${length}`,
  tokens: length,
  async measure(device, report, repetitions) {
    const model = asCausal(createModel(device, shape, { dtype }));
    const engine = engineOf(model, length);
    for (let i = 0; i < repetitions; i++) {
      const clock = new Clock();
      for await (const _ of engine.generate({ promptTokens: randomTokens(length, i), sampling: greedy, maxTokens: 1 }));
      await report(clock.read(), i);
    }
    await engine.close();
    model.dispose();
  },
});

/** 128 tokens of one sequence, from the first on. */
const decode = (dtype) => ({
  name: `decode-${dtype}`,
  peer: `decode ${dtype}`,
  tokens: 128,
  async measure(device, report, repetitions) {
    const model = asCausal(createModel(device, shape, { dtype }));
    const engine = engineOf(model, 512);
    for (let i = 0; i < repetitions; i++) {
      let clock;
      const request = { promptTokens: randomTokens(8, i), sampling: greedy, maxTokens: 129, ignoreEos: true };
      for await (const _ of engine.generate(request)) clock ??= new Clock();
      await report(clock.read(), i);
    }
    await engine.close();
    model.dispose();
  },
});

export const rows = [
  loraStep('f32'),
  loraStep('bf16'),
  fullStep('bf16'),
  prefill(512, 'f32'),
  prefill(512, 'bf16'),
  prefill(2048, 'bf16'),
  decode('bf16'),
];
