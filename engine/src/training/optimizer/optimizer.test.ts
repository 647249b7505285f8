import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as commands from '../../device/commands/index.js';
import { cpuDevice } from '../../device/cpu-device.fixture.js';
import type { Device } from '../../device/device.js';
import { dynamicMap } from '../../nn/codes/dynamic-map.js';
import { Parameter } from '../../nn/parameter.js';
import { Tensor } from '../../tensor/tensor.js';
import type { RunState } from '../checkpoint/run-state.js';
import { recordEvaluation } from '../evaluation-record.js';
import { nextLossScale } from '../loss-scale.js';
import { evaluationOptions, optimizerOptions, spikeOptions } from '../options.js';
import { learningRate, scheduleOptions } from '../schedule.js';
import { isSpike } from '../spike-guard.js';
import { WeightAverage } from './average.js';
import { Optimizer } from './optimizer.js';

interface Run {
  readonly source: string;
  readonly options: Record<string, unknown>;
  readonly shapes: Record<string, number[]>;
  readonly after: Record<string, Record<string, number[]>>;
  readonly layers?: number;
  readonly decay?: number;
  readonly average?: Record<string, number[]>;
}

/** Made by test/fixtures/make_optimizers.py. */
const record = JSON.parse(readFileSync(new URL('./fixtures/optimizers.json', import.meta.url), 'utf8')) as {
  steps: number;
  every: number;
  runs: Run[];
  maps: { signed: number[]; unsigned: number[] };
  lossScale: { overflows: boolean[]; scales: number[] };
  spikes: { window: number; deviations: number; losses: number[]; gradNorms: number[]; skipped: boolean[] };
  earlyStops: {
    patience: number;
    minImprovement: number;
    goal: 'lower' | 'higher';
    values: number[];
    stop: number | null;
    best: number;
  }[];
  schedules: { source: string; options: object; rates: number[] }[];
};

let device: Device;
beforeAll(() => {
  device = cpuDevice({ threads: 2 });
});
afterAll(() => device.close());

/** The numbers of `values` in make_optimizers.py. */
function values(elements: number, step: number, number: number, scale: number): Float32Array {
  return Float32Array.from({ length: elements }, (_, i) => {
    const hashed = (i * 7919 + step * 104729 + number * 1299709) % 10007;
    return (hashed / 10007 - 0.5) * ((1 + (Math.floor(i / 5) % 7)) / 7) * scale;
  });
}

async function train({ shapes, options, layers = 0, decay }: Run, dtype: 'f32' | 'bf16' = 'f32') {
  const parameters = new Map(
    Object.entries(shapes).map(([name, shape], number) => {
      const elements = shape.reduce((a, b) => a * b, 1);
      const tensor = Tensor.from(device, values(elements, 0, number, 1), shape, 'f32', 'persistent');
      return [name, Parameter.of(tensor, name, { trainable: true, dtype })];
    }),
  );
  const norm = Tensor.zeros(device, [2], 'f32', 'persistent');
  using optimizer = new Optimizer(device, parameters, optimizerOptions.parse(options), norm, layers);
  using average = decay === undefined ? undefined : new WeightAverage(parameters, decay);
  const read = async () => {
    const kept: Record<string, number[]> = {};
    for (const [name, { master }] of parameters) {
      kept[name] = Array.from((await (master as Tensor).floats()).filter((_, i) => i % record.every === 0));
    }
    return kept;
  };
  const after: Record<string, Record<string, number[]>> = {};
  for (let step = 1; step <= record.steps; step++) {
    [...parameters.values()].forEach((parameter, number) => {
      using gradient = Tensor.from(device, values(parameter.elements, step, number, 0.2 * (1 + (step % 3))), [
        ...parameter.shape,
      ]);
      parameter.zeroGrad();
      commands.copy(device.recorder, gradient, parameter.gradient().tensor);
    });
    optimizer.measure();
    optimizer.step(step, options.learningRate as number);
    average?.follow(step);
    if (step < 3 || step === record.steps) after[step] = await read();
  }
  average?.swap();
  const averaged = average ? await read() : undefined;
  norm.dispose();
  for (const parameter of parameters.values()) parameter.dispose();
  return { after, averaged };
}

/** The largest difference of a number of any parameter, as a share of how far the parameter moved at most. */
function difference(ours: Record<string, number[]>, theirs: Record<string, number[]>, rate: number, steps: number) {
  expect(Object.keys(ours)).toEqual(Object.keys(theirs));
  const all = Object.entries(theirs).flatMap(([name, expected]) =>
    expected.map((x, i) => Math.abs(x - ours[name]![i]!)),
  );
  return Math.max(...all) / (rate * steps);
}

describe('parameters move as by the reference implementation', () => {
  it.each(record.runs.map((run) => [run.source, run] as const))('%s', async (_, run) => {
    const { after, averaged } = await train(run);
    for (const [step, theirs] of Object.entries(run.after)) {
      expect(difference(after[step]!, theirs, run.options.learningRate as number, Number(step)), step).toBeLessThan(
        1e-3,
      );
    }
    if (run.average) expect(difference(averaged!, run.average, 1e-2, record.steps)).toBeLessThan(1e-4);
  });

  it('notices a rate that is one per cent off', async () => {
    const run = record.runs[0]!;
    const { after } = await train({ ...run, options: { ...run.options, learningRate: 1.01e-2 } });
    expect(difference(after[record.steps]!, run.after[record.steps]!, 1e-2, record.steps)).toBeGreaterThan(1e-3);
  });

  it('Muon in bf16 stays near', async () => {
    const run = record.runs.find(({ source }) => source.includes('Muon'))!;
    const { after } = await train(run, 'bf16');
    expect(difference(after[1]!, run.after[1]!, 1e-2, 1)).toBeLessThan(0.05);
  });
});

describe('beside the references', () => {
  it('codes of 8 bits mean what they mean in bitsandbytes', () => {
    for (const [signed, expected] of [
      [true, record.maps.signed],
      [false, record.maps.unsigned],
    ] as const) {
      const ours = dynamicMap(signed);
      expect(ours.length).toBe(256);
      for (const [i, value] of expected.entries()) expect(ours[i]).toBeCloseTo(value, 7);
    }
  });

  it("the loss scale goes as GradScaler's", () => {
    const options = { initial: 1024, growthFactor: 2, backoffFactor: 0.5, growthInterval: 4 };
    let state = { scale: options.initial, sinceChange: 0 };
    const scales = record.lossScale.overflows.map((overflowed) => {
      const { scale } = state;
      state = nextLossScale(state, overflowed, options);
      return scale;
    });
    expect(scales).toEqual(record.lossScale.scales);
  });

  it("spikes are those of OLMo-core's SkipStepOptimizer", () => {
    const { window, deviations, losses, gradNorms, skipped } = record.spikes;
    const options = spikeOptions.parse({ action: 'skip', window, deviations });
    const found = losses.map((loss, i) =>
      isSpike(options, losses.slice(0, i), gradNorms.slice(0, i), loss, gradNorms[i] as number),
    );
    expect(found).toEqual(skipped);
    expect(skipped.filter(Boolean).length).toBe(2);
  });

  it.each(
    record.earlyStops.map((run) => [`patience ${run.patience}, ${run.minImprovement}, ${run.goal}`, run] as const),
  )(
    "runs end, and are best, where transformers' EarlyStoppingCallback says: %s",
    (_, { values, stop, best, ...options }) => {
      const state = { step: 1, evaluations: [], best: null, sinceBest: 0 } as unknown as RunState;
      const rules = evaluationOptions.parse({ ...options, metric: 'm' });
      const ends = values.findIndex((m, step) => {
        recordEvaluation(state, { step, metrics: { m } }, rules);
        return state.sinceBest >= options.patience;
      });
      expect(ends < 0 ? null : ends).toBe(stop);
      expect(state.best?.step).toBe(best);
    },
  );

  it.each(record.schedules.map((schedule) => [schedule.source, schedule] as const))(
    'learning rates are those of %s',
    (_, { options, rates }) => {
      const schedule = scheduleOptions.parse({ warmupSteps: 6, ...options });
      for (const [step, rate] of rates.entries())
        expect(learningRate(schedule, 1, step, 60), `${step}`).toBeCloseTo(rate, 9);
    },
  );
});
