import { currentTape, type Gradients } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { FloatDType } from '../device/dtype.js';
import type { Parameter } from '../nn/parameter.js';
import { Tensor } from '../tensor/tensor.js';

export interface NormOptions {
  readonly eps: number;
  /** Added to x before the norm; the sum is returned and is the residual stream from here on. */
  readonly residual?: Tensor;
  /** Of the result; that of x unless given. */
  readonly dtype?: FloatDType;
}

export interface NormResult {
  readonly y: Tensor;
  /** x + residual in the residual's type; x itself without a residual. */
  readonly sum: Tensor;
}

/** Each row of the last dimension of x (+ residual), divided by its root mean square, times weight + weightOffset. */
export function rmsNorm(
  x: Tensor,
  weight: Parameter,
  { eps, residual, weightOffset = 0, dtype = x.dtype as FloatDType }: NormOptions & { weightOffset?: number },
): NormResult {
  const { device } = x;
  const tape = currentTape();
  const tracked = tape !== undefined && (x.requiresGrad || residual?.requiresGrad === true || weight.trainable);
  const y = Tensor.empty(device, x.shape, dtype);
  const sum = residual ? Tensor.empty(device, x.shape, residual.dtype) : x;
  const rstd = tracked ? Tensor.empty(device, [rowsOf(x)], 'f32') : undefined;
  commands.rmsNorm(
    device.recorder,
    { eps, weightOffset },
    { x, residual, weight: weight.value(), y, sum: residual && sum, rstd },
  );
  if (!tracked) return { y, sum };
  tape.record({
    name: `rmsNorm ${weight.name}`,
    inputs: [x, residual],
    outputs: residual ? [y, sum] : [y],
    saved: [sum, rstd],
    backward(gradients, [h, savedRstd]) {
      normBackward(gradients, { x, residual, y, sum }, (dy, dhIn, dx) => {
        const dweight = weight.trainable ? weight.gradientToAdd() : undefined;
        commands.rmsNormBackward(
          device.recorder,
          { weightOffset },
          { dy, h: h!, weight: weight.value(), rstd: savedRstd!, dhIn, dx, dweight },
        );
      });
    },
  });
  rstd?.dispose();
  return { y, sum };
}

/** Each row of the last dimension of x (+ residual), made to have mean 0 and deviation 1, times weight plus bias. */
export function layerNorm(
  x: Tensor,
  weight: Parameter,
  bias: Parameter | undefined,
  { eps, residual, dtype = x.dtype as FloatDType }: NormOptions,
): NormResult {
  const { device } = x;
  const tape = currentTape();
  const tracked =
    tape !== undefined &&
    (x.requiresGrad || residual?.requiresGrad === true || weight.trainable || bias?.trainable === true);
  const y = Tensor.empty(device, x.shape, dtype);
  const sum = residual ? Tensor.empty(device, x.shape, residual.dtype) : x;
  const mean = tracked ? Tensor.empty(device, [rowsOf(x)], 'f32') : undefined;
  const rstd = tracked ? Tensor.empty(device, [rowsOf(x)], 'f32') : undefined;
  commands.layerNorm(
    device.recorder,
    { eps },
    {
      x,
      residual,
      weight: weight.value(),
      bias: bias?.value(),
      y,
      sum: residual && sum,
      mean,
      rstd,
    },
  );
  if (!tracked) return { y, sum };
  tape.record({
    name: `layerNorm ${weight.name}`,
    inputs: [x, residual],
    outputs: residual ? [y, sum] : [y],
    saved: [sum, mean, rstd],
    backward(gradients, [h, savedMean, savedRstd]) {
      normBackward(gradients, { x, residual, y, sum }, (dy, dhIn, dx) => {
        commands.layerNormBackward(device.recorder, {
          dy,
          h: h!,
          weight: weight.value(),
          mean: savedMean!,
          rstd: savedRstd!,
          dhIn,
          dx,
          dweight: weight.trainable ? weight.gradientToAdd() : undefined,
          dbias: bias?.trainable ? bias.gradientToAdd() : undefined,
        });
      });
    },
  });
  mean?.dispose();
  rstd?.dispose();
  return { y, sum };
}

/** The gradient of the sum goes to x and to the residual alike: one tensor serves both. */
function normBackward(
  gradients: Gradients,
  { x, residual, y, sum }: { x: Tensor; residual: Tensor | undefined; y: Tensor; sum: Tensor },
  backward: (dy: Tensor, dhIn: Tensor | undefined, dx: Tensor) => void,
): void {
  const dy = gradients.of(y);
  const dhIn = residual ? gradients.of(sum) : undefined;
  let dx = dhIn;
  if (dy) {
    dx = Tensor.empty(x.device, x.shape, residual ? sum.dtype : x.dtype);
    backward(dy, dhIn, dx);
  }
  if (!dx) return;
  if (gradients.wants(x)) gradients.add(x, dx);
  if (residual && gradients.wants(residual)) gradients.add(residual, dx);
}

function rowsOf(x: Tensor): number {
  return x.elements / x.shape.at(-1)!;
}
