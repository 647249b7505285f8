import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as commands from '../device/commands/index.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import type { CausalLanguageModel } from '../models/model.js';
import { Tensor } from '../tensor/tensor.js';
import type { TrainingEvent } from './events.js';
import { nextTokenObjective } from './next-token.js';
import type { LossContext, RecordedLoss } from './objective.js';
import type { TrainingOptions } from './options.js';
import { tinyModel, tinyOptions, tinyRows, weightsOf } from './tiny-run.fixture.js';
import type { TokenBatch, TokenRow } from './token-batch.js';
import { type TrainingRun, train } from './train.js';

let device: Device;
let root: string;
let folder: string;
let runs = 0;
beforeAll(() => {
  device = cpuDevice({ threads: 2 });
  root = mkdtempSync(join(tmpdir(), 'largeforge-'));
});
beforeEach(() => {
  folder = join(root, `run-${++runs}`);
});
afterAll(() => {
  device.close();
  rmSync(root, { recursive: true });
});

/** Trains a fresh tiny model; returns its weights, losses and events. */
async function trainTiny(
  options: TrainingOptions,
  more: Partial<TrainingRun<TokenRow, TokenBatch>> & { dtype?: 'f32' | 'bf16' } = {},
) {
  const { dtype, onEvent, ...rest } = more;
  using model = tinyModel(device, dtype);
  const events: TrainingEvent[] = [];
  const result = await train({
    model,
    objective: nextTokenObjective(model),
    rows: tinyRows(),
    options,
    onEvent: (event) => {
      events.push(event);
      return onEvent?.(event);
    },
    ...rest,
  });
  return { result, events, weights: await weightsOf(model) };
}

const steps = (events: TrainingEvent[]) => events.filter((event) => event.type === 'step');

describe('train', () => {
  it('learns', async () => {
    const { result, events } = await trainTiny(tinyOptions({ maxSteps: 60, optimizer: { learningRate: 0.02 } }));
    expect(result.losses[0]).toBeGreaterThan(3);
    expect(result.losses.at(-1)).toBeLessThan(0.7);
    expect(result.step).toBe(60);
    const last = steps(events).at(-1);
    expect(last).toMatchObject({ step: 60, totalSteps: 60, loss: result.losses.at(-1), epoch: 20 });
    expect(last?.tokensPerSecond).toBeGreaterThan(0);
    expect(last?.memoryBytes).toBeGreaterThan(0);
  });

  it('gives the same weights whenever it runs, and others for another seed', async () => {
    const first = await trainTiny(tinyOptions());
    expect((await trainTiny(tinyOptions())).weights).toEqual(first.weights);
    expect((await trainTiny(tinyOptions({ seed: 7 }))).weights).not.toEqual(first.weights);
  });

  it('gives one step of 1 x 4 rows the gradient of 2 x 2 and 4 x 1 rows', async () => {
    // Rows differ in their targets: means of micro-batch means would differ by far more.
    const plain = { order: 'sequential', maxSteps: 6 } as const;
    const whole = await trainTiny(tinyOptions({ ...plain, batchSize: 4, accumulation: 1 }));
    for (const [batchSize, accumulation] of [
      [2, 2],
      [1, 4],
    ] as const) {
      const parts = await trainTiny(tinyOptions({ ...plain, batchSize, accumulation }));
      for (const [step, loss] of parts.result.losses.entries()) expect(loss).toBeCloseTo(whole.result.losses[step]!, 5);
    }
  });

  it('gives packed rows the loss of unpacked ones', async () => {
    // All rows in one step, so that packing changes nothing but the layout.
    const options = { order: 'sequential', maxSteps: 5, accumulation: 1 } as const;
    const unpacked = await trainTiny(tinyOptions({ ...options, batchSize: 12 }));
    const packed = await trainTiny(tinyOptions({ ...options, batchSize: 12, packing: 24 }));
    for (const [step, loss] of packed.result.losses.entries()) {
      expect(loss).toBeCloseTo(unpacked.result.losses[step]!, 5);
    }
  });

  it('computes the same with gradient checkpointing', async () => {
    const plain = await trainTiny(tinyOptions());
    for (const gradientCheckpointing of [true, { every: 2 }, { first: 1 }]) {
      const again = await trainTiny(tinyOptions({ gradientCheckpointing }));
      for (const [step, loss] of again.result.losses.entries()) expect(loss).toBeCloseTo(plain.result.losses[step]!, 4);
    }
  });

  it('takes nothing new from the device once it is under way', async () => {
    const seen: { slabs: number; tensors: number }[] = [];
    await trainTiny(tinyOptions({ maxSteps: 12, order: 'sequential' }), {
      onEvent: (event) => {
        const { deviceAllocations, liveTensors } = device.stats();
        if (event.type === 'step') seen.push({ slabs: deviceAllocations, tensors: liveTensors });
      },
    });
    expect(new Set(seen.slice(3).map((at) => JSON.stringify(at))).size).toBe(1);
  });

  it('waits for the device at most once a micro-batch', async () => {
    const flushes: number[] = [];
    await trainTiny(tinyOptions({ maxSteps: 4 }), {
      onEvent: (event) => void (event.type === 'step' && flushes.push(device.stats().flushes)),
    });
    for (const [i, count] of flushes.entries()) if (i > 0) expect(count - flushes[i - 1]!).toBeLessThanOrEqual(2);
  });

  it('names the step when the loss is no longer finite', async () => {
    const run = trainTiny(
      tinyOptions({ optimizer: { learningRate: 1e30 }, schedule: { type: 'constant', warmupRatio: 0 } as never }),
    );
    await expect(run).rejects.toMatchObject({ code: 'LF_ENGINE_TRAIN_DIVERGED' });
    await expect(run).rejects.toThrow(/not finite at step \d/);
  });

  it('evaluates held-out rows, keeps the best weights and stops when patience ends', async () => {
    const heldOut = { source: tinyRows(5, 9), rows: [0, 1, 2, 3, 4] };
    const evaluation = { steps: 2, keepBest: true, patience: 3 };
    const options = tinyOptions({ maxSteps: 200, evaluation, optimizer: { learningRate: 0.05 } });
    const { result, events } = await trainTiny(options, { heldOut, folder });
    const evaluations = events.filter((event) => event.type === 'evaluated');
    const best = Math.min(...evaluations.map((event) => event.metrics.loss!));
    expect(result.evaluation?.loss).toBe(best);
    expect(evaluations.at(-4)?.metrics.loss).toBe(best);
    expect(events.filter((event) => event.type === 'stopped')).toMatchObject([{ step: result.step }]);
    expect(evaluations[0]?.metrics.accuracy).toBeGreaterThanOrEqual(0);
    expect(result.step).toBeLessThan(200);
  });
});

describe('what is left out or undone', () => {
  /** An objective whose loss is said to be a thousand times as large where `spikes` says so of a batch. */
  const spiking = (model: CausalLanguageModel, spikes: (batch: TokenBatch) => boolean) => {
    const objective = nextTokenObjective(model);
    return {
      ...objective,
      loss: (batch: TokenBatch, context: LossContext) => {
        const loss = objective.loss(batch, context) as RecordedLoss;
        if (!spikes(batch)) return loss;
        const values = Tensor.empty(device, loss.values.shape, 'f32');
        commands.binary(device.recorder, 'add', loss.values, loss.values, values, 500, 500);
        return { ...loss, values };
      },
    };
  };
  const options = (action: 'skip' | 'rollback') =>
    tinyOptions({
      maxSteps: 16,
      batchSize: 2,
      accumulation: 1,
      order: 'sequential',
      optimizer: { learningRate: 0.02 },
      checkpoints: { steps: 5, keep: 2, background: true },
      spikes: { action, window: 8, deviations: 3 },
    });

  it('a spike is skipped: the step changes nothing', async () => {
    using model = tinyModel(device);
    const skipped: number[] = [];
    const weights: string[] = [];
    let calls = 0;
    await train({
      model,
      objective: spiking(model, () => ++calls === 21),
      rows: tinyRows(24),
      options: { ...options('skip'), maxSteps: 24, spikes: { action: 'skip', window: 32, deviations: 6 } },
      onEvent: async (event) => {
        if (event.type === 'skipped') skipped.push(event.step);
        if (event.type === 'step') weights.push(JSON.stringify(await weightsOf(model)));
      },
    });
    expect(skipped).toEqual([21]);
    expect(weights.length).toBe(24);
    expect(new Set(weights).size).toBe(23);
    expect(weights[20]).toBe(weights[19]);
  });

  it('a spike is rolled back: the run goes on from the checkpoint before it, with later rows', async () => {
    const rows = tinyRows(24);
    const [row] = (await rows.read([20])) as [TokenRow];
    const first = row.tokens.join();
    // By its content: a run that is resumed meets it again.
    const isIt = ({ tokens, cuSeqlens }: TokenBatch) => tokens.subarray(0, cuSeqlens[1]).join() === first;
    const run = async (at: string, more: object = {}) => {
      using model = tinyModel(device);
      const events: TrainingEvent[] = [];
      const stop = new AbortController();
      const result = await train({
        model,
        objective: spiking(model, isIt),
        rows,
        options: { ...options('rollback'), spikes: { action: 'rollback', window: 16, deviations: 6 } },
        folder: at,
        signal: stop.signal,
        onEvent: (event) => {
          events.push(event);
          if (event.type === 'rolledBack' && 'stops' in more) stop.abort();
        },
        ...more,
      });
      return { result, events, weights: await weightsOf(model) };
    };
    const whole = await run(folder);
    const back = whole.events.filter((event) => event.type === 'rolledBack');
    // The row is that of step 11; the checkpoint before it is that of step 10.
    expect(back).toMatchObject([{ step: 10, from: 11 }]);
    expect(whole.result.step).toBe(16);
    // Interrupted after it went back, and resumed.
    const at = `${folder}-resumed`;
    expect((await run(at, { stops: true })).result.aborted).toBe(true);
    expect((await run(at, { resume: true })).weights).toEqual(whole.weights);
  });

  it('a number that is not finite is traced to the operation that made it', async () => {
    using model = tinyModel(device);
    const objective = nextTokenObjective(model);
    const run = (spoil: () => void) =>
      train({
        model,
        objective: {
          ...objective,
          loss: (batch, context) => {
            spoil();
            return objective.loss(batch, context);
          },
        },
        rows: tinyRows(),
        options: tinyOptions(),
      });
    const { weight } = model.linears.get('model.layers.1.mlp.down_proj')!;
    const values = await weight.value().floats();
    const fill = (value: number) => {
      using spoilt = Tensor.full(device, weight.shape, value);
      weight.assign(spoilt);
    };
    // Products with such weights overflow.
    await expect(run(() => fill(3e38))).rejects.toThrow(
      /first in LINEAR of model\.layers\.1\.mlp\.down_proj, in the forward/,
    );
    await expect(run(() => fill(Number.NaN))).rejects.toThrow(
      /first in the parameter model\.layers\.1\.mlp\.down_proj/,
    );
    using again = Tensor.from(device, values, [...weight.shape]);
    weight.assign(again);
    await run(() => {});
  });
});

describe('the average of the weights', () => {
  it('is what is evaluated and what is left, and is resumed', async () => {
    const options = tinyOptions({
      averageDecay: 0.8,
      maxSteps: 9,
      evaluation: { steps: 3 } as never,
      checkpoints: { steps: 2 } as never,
    });
    const heldOut = { source: tinyRows(5, 9), rows: [0, 1, 2, 3, 4] };
    const plain = await trainTiny({ ...options, averageDecay: undefined }, { heldOut });
    const whole = await trainTiny(options, { heldOut, folder });
    expect(whole.result.losses).toEqual(plain.result.losses);
    expect(whole.weights).not.toEqual(plain.weights);
    expect(whole.result.evaluation).not.toEqual(plain.result.evaluation);
    const stop = new AbortController();
    const onEvent = (event: TrainingEvent) => void (event.type === 'step' && event.step === 5 && stop.abort());
    const at = `${folder}-5`;
    await trainTiny(options, { heldOut, folder: at, onEvent, signal: stop.signal });
    const resumed = await trainTiny(options, { heldOut, folder: at, resume: true });
    expect(resumed.weights).toEqual(whole.weights);
    expect(resumed.result.evaluations).toEqual(whole.result.evaluations);
  });
});

describe('checkpoints', () => {
  const every2 = { checkpoints: { steps: 2, keep: 2 } };

  it('are kept up to the number asked for, and hold what people load', async () => {
    const saveWeights = async (path: string) => writeFileSync(join(path, 'adapter.txt'), 'weights');
    const { events } = await trainTiny(tinyOptions({ ...every2, maxSteps: 7 }), { folder, saveWeights });
    expect(events.filter((event) => event.type === 'checkpoint').map((event) => event.step)).toEqual([2, 4, 6, 7]);
    expect(readdirSync(folder).sort()).toEqual(['checkpoint-6', 'checkpoint-7']);
    expect(readdirSync(join(folder, 'checkpoint-7')).sort()).toEqual([
      'adapter.txt',
      'manifest.json',
      'trainer_state.json',
      'training_state.safetensors',
    ]);
  });

  it('of multiples of keepEvery are kept for good', async () => {
    const checkpoints = { steps: 1, keep: 1, keepEvery: 3, background: true };
    await trainTiny(tinyOptions({ checkpoints, maxSteps: 8 }), { folder });
    expect(readdirSync(folder).sort()).toEqual(['checkpoint-3', 'checkpoint-6', 'checkpoint-8']);
  });

  it('are the same whether written in the background or not', async () => {
    const saved = async (background: boolean) => {
      const at = `${folder}-${background}`;
      await trainTiny(tinyOptions({ checkpoints: { steps: 2, keep: 9, background }, maxSteps: 6 }), { folder: at });
      return readdirSync(at).map((name) =>
        readFileSync(join(at, name, 'training_state.safetensors')).toString('base64'),
      );
    };
    expect(await saved(true)).toEqual(await saved(false));
  });

  it.each(['adamw_8bit', 'lion', 'adafactor', 'muon'] as const)(
    'resume to the same bits on another number of threads, %s',
    async (type) => {
      const options = tinyOptions({ ...every2, maxSteps: 7, optimizer: { type, learningRate: 0.003 } });
      const whole = await trainTiny(options, { folder: `${folder}-whole` });
      const stop = new AbortController();
      const onEvent = (event: TrainingEvent) => void (event.type === 'step' && event.step === 3 && stop.abort());
      await trainTiny(options, { folder, onEvent, signal: stop.signal });
      using single = cpuDevice({ threads: 1 });
      using model = tinyModel(single);
      await train({ model, objective: nextTokenObjective(model), rows: tinyRows(), options, folder, resume: true });
      expect(await weightsOf(model)).toEqual(whole.weights);
    },
  );

  it('choose the best by a metric, and give up by it', async () => {
    const heldOut = { source: tinyRows(5, 9), rows: [0, 1, 2, 3, 4] };
    const evaluation = {
      steps: 1,
      keepBest: true,
      metric: 'accuracy',
      goal: 'higher',
      patience: 4,
      minImprovement: 0.02,
    } as const;
    const { result } = await trainTiny(tinyOptions({ maxSteps: 60, evaluation: evaluation as never }), {
      heldOut,
      folder,
    });
    const accuracies = result.evaluations.map(({ metrics }) => metrics.accuracy!);
    expect(result.evaluation?.accuracy).toBe(Math.max(...accuracies));
    let [best, since] = [-1, 0];
    for (const accuracy of accuracies) {
      expect(since).toBeLessThan(4);
      since = accuracy - best > 0.02 ? 0 : since + 1;
      best = Math.max(best, accuracy);
    }
    expect(since).toBe(4);
    const unknown = tinyOptions({ evaluation: { ...evaluation, metric: 'f1' } as never });
    await expect(trainTiny(unknown, { heldOut, folder: `${folder}-x` })).rejects.toThrow(
      "have no 'f1'; they have loss, accuracy",
    );
  });

  for (const [what, options, dtype] of [
    ['f32', {}, 'f32'],
    ['bf16', {}, 'bf16'],
    [
      'packing, noise and evaluation',
      { packing: 24, neftuneAlpha: 5, evaluation: { steps: 3, keepBest: true } },
      'f32',
    ],
  ] as const) {
    it(`resume to the weights of the run that was not interrupted: ${what}`, async () => {
      const full = tinyOptions({ ...every2, ...(options as object), maxSteps: 9 });
      const heldOut = { source: tinyRows(5, 9), rows: [0, 1, 2, 3, 4] };
      const whole = await trainTiny(full, { dtype, heldOut, folder });
      for (const stopAt of [1, 4, 7]) {
        const stop = new AbortController();
        const onEvent = (event: TrainingEvent) => {
          if (event.type === 'step' && event.step === stopAt) stop.abort();
        };
        const at = `${folder}-${stopAt}`;
        const first = await trainTiny(full, { dtype, heldOut, folder: at, onEvent, signal: stop.signal });
        expect(first.result).toMatchObject({ aborted: true, step: stopAt });
        const second = await trainTiny(full, { dtype, heldOut, folder: at, resume: true });
        expect(second.events[0]).toMatchObject({ type: 'resumed', step: stopAt });
        expect(second.weights).toEqual(whole.weights);
        expect(second.result.losses).toEqual(whole.result.losses);
        expect(second.result.evaluation).toEqual(whole.result.evaluation);
      }
    });
  }

  it('names a damaged checkpoint and takes the one before it', async () => {
    const options = tinyOptions(every2);
    const whole = await trainTiny(options, { folder });
    const file = join(folder, 'checkpoint-8', 'training_state.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(file, bytes);
    const again = await trainTiny(options, { folder, resume: true });
    expect(again.events[0]).toEqual({
      type: 'damaged',
      path: join(folder, 'checkpoint-8'),
      reason: 'training_state.safetensors does not match its checksum',
    });
    expect(again.events[1]).toMatchObject({ type: 'resumed', step: 6 });
    expect(again.weights).toEqual(whole.weights);

    for (const step of [6, 8]) writeFileSync(join(folder, `checkpoint-${step}`, 'manifest.json'), '{');
    await expect(trainTiny(options, { folder, resume: true })).rejects.toMatchObject({
      code: 'LF_ENGINE_CHECKPOINT_ALL_DAMAGED',
    });
  });

  it('are not mixed up with those of another run', async () => {
    const stop = new AbortController();
    const onEvent = (event: TrainingEvent) => void (event.type === 'step' && event.step === 3 && stop.abort());
    await trainTiny(tinyOptions(every2), { folder, onEvent, signal: stop.signal });
    await expect(trainTiny(tinyOptions({ ...every2, seed: 1 }), { folder, resume: true })).rejects.toThrow(
      'seed was 42, is 1',
    );
    await expect(trainTiny(tinyOptions(every2), { folder, rows: tinyRows(13), resume: true })).rejects.toThrow(
      'data was "tiny-12-1", is "tiny-13-1"',
    );
    await expect(trainTiny(tinyOptions(every2), { folder })).rejects.toMatchObject({
      code: 'LF_ENGINE_TRAIN_UNFINISHED',
    });
    await trainTiny(tinyOptions(every2), { folder, overwrite: true });
    // A finished run may be replaced.
    await trainTiny(tinyOptions(every2), { folder });
    expect(readdirSync(folder).sort()).toEqual(['checkpoint-6', 'checkpoint-8']);
  });

  it('begin anew when there is none to resume from', async () => {
    const { events, weights } = await trainTiny(tinyOptions(), { folder, resume: true });
    expect(events[0]).toMatchObject({ type: 'resumed', step: 0 });
    expect(weights).toEqual((await trainTiny(tinyOptions())).weights);
  });
});
