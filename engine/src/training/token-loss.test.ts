import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withoutTape } from '../autograd/tape.js';
import { cpuDevice } from '../device/cpu-device.fixture.js';
import type { Device } from '../device/device.js';
import { Tensor } from '../tensor/tensor.js';
import { nextTokenObjective } from './next-token.js';
import { tinyModel, tinyOptions, tinyRows, weightsOf } from './tiny-run.fixture.js';
import type { TokenBatch } from './token-batch.js';
import { crossEntropyLoss, type TokenLoss } from './token-loss.js';
import { train } from './train.js';

let device: Device;
beforeAll(() => {
  device = cpuDevice({ threads: 2 });
});
afterAll(() => device.close());

async function trainWith(loss?: TokenLoss) {
  using model = tinyModel(device);
  const metrics: Readonly<Record<string, number>>[] = [];
  const { losses } = await train({
    model,
    objective: nextTokenObjective(model, { loss }),
    rows: tinyRows(),
    options: tinyOptions({ maxSteps: 6 }),
    onEvent: (event) => {
      if (event.type === 'step') metrics.push(event.metrics);
    },
  });
  return { losses, metrics, weights: await weightsOf(model) };
}

/** Every position weighs `weight`, by the fused op or as a value that the loop differentiates. */
const weighted = (weight: number, fused: boolean): TokenLoss => ({
  weight: ({ targets }) => weight * targets,
  compute({ hidden, batch, scale, crossEntropy }) {
    const rowWeight = Tensor.full(hidden.device, [batch.labels.length], weight);
    const { nll } = crossEntropy({ rowWeight, ...(fused ? { gradScale: scale } : {}) });
    const { entropy } = withoutTape(() => crossEntropy({ outputs: { entropy: true } }));
    return { values: nll, fused, metrics: { entropy: entropy as Tensor } };
  },
});

describe('token losses', () => {
  it('are cross-entropy unless something else is said', async () => {
    const plain = await trainWith();
    expect(await trainWith(crossEntropyLoss())).toEqual(plain);
    expect((await trainWith(crossEntropyLoss({ labelSmoothing: 0.2 }))).losses).not.toEqual(plain.losses);
  });

  it('divide by their own weight: a factor on every position changes nothing', async () => {
    const plain = await trainWith(weighted(1, true));
    const quarter = await trainWith(weighted(0.25, true));
    // Powers of two scale exactly, and sums of products with them too.
    expect(quarter.weights).toEqual(plain.weights);
  });

  it('learn the same whether the gradient is fused or taken by the tape', async () => {
    const fused = await trainWith(weighted(0.5, true));
    const byTape = await trainWith(weighted(0.5, false));
    for (const [i, loss] of fused.losses.entries()) expect(byTape.losses[i]).toBeCloseTo(loss, 4);
  });

  it('show further sums beside the loss, divided as it is', async () => {
    const { metrics } = await trainWith(weighted(1, true));
    expect(metrics).toHaveLength(6);
    for (const { entropy } of metrics) {
      expect(entropy).toBeGreaterThan(0);
      expect(entropy).toBeLessThan(3 * Math.log(40));
    }
  });

  it('give held-out rows their cross-entropy', async () => {
    using model = tinyModel(device);
    const batch: TokenBatch = nextTokenObjective(model).collate(await tinyRows().read([0, 1, 2]));
    const plain = await nextTokenObjective(model).evaluate(batch);
    expect(await nextTokenObjective(model, { loss: weighted(9, true) }).evaluate(batch)).toEqual(plain);
  });
});
