import { currentTape } from '../autograd/tape.js';
import type { RandomKey } from '../device/commands/data.js';
import * as commands from '../device/commands/index.js';
import type { DType } from '../device/dtype.js';
import type { UnaryKind } from '../device/opcodes.js';
import { Tensor } from '../tensor/tensor.js';

/** alpha * a + beta * b, of equal shapes, in the wider type of the two. */
export function add(a: Tensor, b: Tensor, { alpha = 1, beta = 1 }: { alpha?: number; beta?: number } = {}): Tensor {
  const out = Tensor.empty(a.device, a.shape, a.dtype === b.dtype ? a.dtype : 'f32');
  commands.binary(a.device.recorder, 'add', a, b, out, alpha, beta);
  const tape = currentTape();
  if (tape && (a.requiresGrad || b.requiresGrad)) {
    tape.record({
      name: 'add',
      inputs: [a, b],
      outputs: [out],
      saved: [],
      backward(gradients) {
        const gradient = gradients.of(out)!;
        if (gradients.wants(a)) gradients.add(a, alpha === 1 ? gradient : scaled(gradient, alpha));
        if (gradients.wants(b)) gradients.add(b, beta === 1 ? gradient : scaled(gradient, beta));
      },
    });
  }
  return out;
}

/** An activation or another function of each element. Only the activations have a gradient. */
export function unary(kind: UnaryKind, x: Tensor): Tensor {
  const out = Tensor.empty(x.device, x.shape, x.dtype);
  commands.unary(x.device.recorder, kind, x, out);
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    tape.record({
      name: kind,
      inputs: [x],
      outputs: [out],
      saved: [x],
      backward(gradients, [savedX]) {
        const dx = Tensor.empty(x.device, x.shape, x.dtype);
        commands.unaryBackward(x.device.recorder, kind, savedX!, gradients.of(out)!, dx);
        gradients.add(x, dx);
      },
    });
  }
  return out;
}

/** cap * tanh(x / cap), which stays between -cap and cap. A cap of 0 leaves x as it is. */
export function softcap(x: Tensor, cap: number): Tensor {
  if (cap === 0) return x;
  const { recorder } = x.device;
  const inner = scaled(x, 1 / cap);
  const out = Tensor.empty(x.device, x.shape, x.dtype);
  commands.unary(recorder, 'tanh', inner, out);
  commands.binary(recorder, 'add', out, out, out, cap, 0);
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    tape.record({
      name: 'softcap',
      inputs: [x],
      outputs: [out],
      saved: [inner],
      backward(gradients, [savedInner]) {
        const dx = Tensor.empty(x.device, x.shape, x.dtype);
        commands.unaryBackward(recorder, 'tanh', savedInner!, gradients.of(out)!, dx);
        gradients.add(x, dx);
      },
    });
  }
  inner.dispose();
  return out;
}

/** Zeroes elements with the given probability and scales the others by 1 / (1 - probability). */
export function dropout(x: Tensor, probability: number, key: RandomKey): Tensor {
  if (probability === 0) return x;
  const out = Tensor.empty(x.device, x.shape, x.dtype);
  commands.dropout(x.device.recorder, probability, key, x, out);
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    tape.record({
      name: 'dropout',
      inputs: [x],
      outputs: [out],
      saved: [],
      backward(gradients) {
        const dx = Tensor.empty(x.device, x.shape, x.dtype);
        commands.dropout(x.device.recorder, probability, key, gradients.of(out)!, dx);
        gradients.add(x, dx);
      },
    });
  }
  return out;
}

/** A contiguous copy in another type. */
export function cast(x: Tensor, dtype: DType): Tensor {
  const out = Tensor.empty(x.device, x.shape, dtype);
  commands.copy(x.device.recorder, x, out);
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    tape.record({
      name: 'cast',
      inputs: [x],
      outputs: [out],
      saved: [],
      backward(gradients) {
        const dx = Tensor.empty(x.device, x.shape, x.dtype);
        commands.copy(x.device.recorder, gradients.of(out)!, dx);
        gradients.add(x, dx);
      },
    });
  }
  return out;
}

/** Elements start..start+length of one dimension, as a view. */
export function narrow(x: Tensor, dimension: number, start: number, length: number): Tensor {
  const out = x.narrow(dimension, start, length);
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    tape.record({
      name: 'narrow',
      inputs: [x],
      outputs: [out],
      saved: [],
      backward(gradients) {
        const { tensor, beta } = gradients.into(x);
        if (beta === 0) commands.fill(x.device.recorder, 0, tensor);
        const part = tensor.narrow(dimension, start, length);
        commands.binary(x.device.recorder, 'add', part, gradients.of(out)!, part);
      },
    });
  }
  return out;
}

function scaled(x: Tensor, factor: number): Tensor {
  const out = Tensor.empty(x.device, x.shape, x.dtype);
  commands.binary(x.device.recorder, 'add', x, x, out, factor, 0);
  return out;
}
