import { type CausalLanguageModel, commands, type Linear, scope, Tensor } from '@largeforge/engine';
import { CalibrationStream } from '../calibration/stream.js';
import { linearsOf } from '../layers.js';

/**
 * What the squared error of each input's weights counts, by linear layer: the mean square of the input over the calibration
 * tokens (llama.cpp's importance matrix). The model stays as it is.
 */
export async function inputImportance(
  model: CausalLanguageModel,
  windows: readonly Int32Array[],
  { batchTokens, signal, progress }: { batchTokens: number; signal: AbortSignal; progress(layer: number): void },
): Promise<Map<string, Float32Array>> {
  const { device, config } = model;
  using stream = new CalibrationStream(model, windows, batchTokens);
  const importance = new Map<string, Float32Array>();
  for (let layer = 0; layer < config.numLayers; layer++) {
    progress(layer);
    const sums = new Map<Linear, Tensor>();
    const linears = linearsOf(model, layer);
    for (const linear of linears) sums.set(linear, Tensor.zeros(device, [linear.inFeatures], 'f32', 'persistent'));
    const visit = (linear: Linear, x: Tensor) =>
      scope(() => {
        const squares = Tensor.empty(device, x.shape);
        commands.unary(device.recorder, 'square', x, squares);
        const bias = { beta: 1, alpha: 1 / stream.rows, math: 'f32' } as const;
        commands.linearBackwardWeight(device.recorder, bias, { x: squares, dy: squares, dbias: sums.get(linear)! });
      });
    await stream.advance(layer, signal, { linears, visit });
    for (const [linear, sum] of sums) {
      importance.set(linear.name, (await sum.floats()).slice());
      sum.dispose();
    }
    for (const { weight } of linears) weight.dispose();
  }
  return importance;
}
