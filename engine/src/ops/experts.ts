import { currentTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { Parameter } from '../nn/parameter.js';
import { Tensor } from '../tensor/tensor.js';
import { mathOf } from './linear.js';

/** Pairs of token and expert, M = tokens * topK, ordered by expert and then by token. */
export interface Routing {
  /** i32 [M]: the token of each pair. */
  readonly rows: Tensor;
  /** i32 [E + 1]: expert e has the pairs offsets[e]..offsets[e + 1]. */
  readonly offsets: Tensor;
  /** f32 [M, 1]: how much each pair counts. */
  readonly weights: Tensor;
}

/** Sends each token to the `topK` experts with the largest softmax of logits f32 [T, E] (Shazeer et al. 2017). */
export function route(logits: Tensor, { topK, normalize }: { topK: number; normalize: boolean }): Routing {
  const { device } = logits;
  const { recorder } = device;
  const [tokens, experts] = logits.shape as [number, number];
  const pairs = tokens * topK;
  const probs = Tensor.empty(device, logits.shape);
  commands.softmax(recorder, logits, probs);
  const rows = Tensor.empty(device, [pairs], 'i32');
  const offsets = Tensor.empty(device, [experts + 1], 'i32');
  const flat = Tensor.empty(device, [pairs]);
  commands.route(recorder, { topK, normalize }, { probs, rows, offsets, weights: flat });
  const weights = flat.reshape(pairs, 1);
  const tape = currentTape();
  if (tape && logits.requiresGrad) {
    tape.record({
      name: 'route',
      inputs: [logits],
      outputs: [weights],
      saved: [probs, rows, offsets, flat],
      backward(gradients, [savedProbs, savedRows, savedOffsets, savedWeights]) {
        const dlogits = Tensor.empty(device, logits.shape);
        commands.routeBackward(
          recorder,
          { normalize },
          {
            probs: savedProbs!,
            rows: savedRows!,
            offsets: savedOffsets!,
            weights: savedWeights!,
            dweights: gradients.of(weights)!.reshape(pairs),
            dlogits,
          },
        );
        gradients.add(logits, dlogits);
      },
    });
  }
  return { rows, offsets, weights };
}

/** x [M, K], its rows grouped as `offsets` [E + 1] says, times the transpose of each group's weight [E, N, K]: [M, N]. */
export function groupedLinear(x: Tensor, weight: Parameter, offsets: Tensor): Tensor {
  const { device } = x;
  const math = mathOf(x);
  const y = Tensor.empty(device, [x.shape[0]!, weight.shape[1]!], x.dtype);
  commands.groupedLinear(device.recorder, { math }, { x, offsets, w: weight.forward(), y });
  const tape = currentTape();
  if (tape && (x.requiresGrad || weight.trainable)) {
    tape.record({
      name: `groupedLinear ${weight.name}`,
      inputs: [x],
      outputs: [y],
      saved: [offsets, weight.trainable ? x : undefined],
      backward(gradients, [savedOffsets, savedX]) {
        const dy = gradients.of(y)!;
        if (gradients.wants(x)) {
          const dx = Tensor.empty(device, x.shape, x.dtype);
          const operands = { dy, offsets: savedOffsets!, w: weight.backward(), dx };
          commands.groupedLinearBackwardInput(device.recorder, { math }, operands);
          gradients.add(x, dx);
        }
        if (!weight.trainable) return;
        const { tensor: dw, beta } = weight.gradient();
        const operands = { x: savedX!, dy, offsets: savedOffsets!, dw };
        commands.groupedLinearBackwardWeight(device.recorder, { beta, math }, operands);
      },
    });
  }
  return y;
}

/** Each row of x [M, D] times its factor, f32 or of x's type [M, 1]. */
export function scaleRows(x: Tensor, factors: Tensor): Tensor {
  const { device } = x;
  const { recorder } = device;
  const spread = (values: Tensor) => values.view(x.shape, [1, 0]);
  const out = Tensor.empty(device, x.shape, x.dtype);
  commands.binary(recorder, 'mul', x, spread(factors), out);
  const tape = currentTape();
  if (tape && (x.requiresGrad || factors.requiresGrad)) {
    tape.record({
      name: 'scaleRows',
      inputs: [x, factors],
      outputs: [out],
      saved: [x, factors],
      backward(gradients, [savedX, savedFactors]) {
        const dout = gradients.of(out)!;
        if (gradients.wants(x)) {
          const dx = Tensor.empty(device, x.shape, x.dtype);
          commands.binary(recorder, 'mul', dout, spread(savedFactors!), dx);
          gradients.add(x, dx);
        }
        if (!gradients.wants(factors)) return;
        const products = Tensor.empty(device, x.shape, 'f32');
        commands.binary(recorder, 'mul', dout, savedX!, products);
        const dfactors = Tensor.empty(device, [x.shape[0]!], 'f32');
        commands.reduce(recorder, 'sum', products, dfactors);
        gradients.add(factors, dfactors.reshape(...factors.shape));
      },
    });
  }
  return out;
}

/** Sums of the rows of x [M, D] that have the same id i32 [M], f32 [count, D]. */
export function sumRows(x: Tensor, ids: Tensor, count: number): Tensor {
  const { device } = x;
  const out = Tensor.zeros(device, [count, x.shape[1]!], 'f32');
  commands.embeddingBackward(device.recorder, ids, x, out);
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    tape.record({
      name: 'sumRows',
      inputs: [x],
      outputs: [out],
      saved: [ids],
      backward(gradients, [savedIds]) {
        const dx = Tensor.empty(device, x.shape, x.dtype);
        commands.embedding(device.recorder, savedIds!, gradients.of(out)!, dx);
        gradients.add(x, dx);
      },
    });
  }
  return out;
}
