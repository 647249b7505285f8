import { currentTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import type { UnaryKind } from '../device/opcodes.js';
import { Tensor } from '../tensor/tensor.js';

/** activation(gate) * up. */
export function glu(activation: UnaryKind, gate: Tensor, up: Tensor): Tensor {
  const { device } = gate;
  const out = Tensor.empty(device, gate.shape, gate.dtype);
  commands.glu(device.recorder, activation, { gate, up, out });
  const tape = currentTape();
  if (tape && (gate.requiresGrad || up.requiresGrad)) {
    tape.record({
      name: `glu ${activation}`,
      inputs: [gate, up],
      outputs: [out],
      saved: [gate, up],
      backward(gradients, [savedGate, savedUp]) {
        const dgate = Tensor.empty(device, gate.shape, gate.dtype);
        const dup = Tensor.empty(device, up.shape, up.dtype);
        commands.gluBackward(device.recorder, activation, {
          gate: savedGate!,
          up: savedUp!,
          dout: gradients.of(out)!,
          dgate,
          dup,
        });
        if (gradients.wants(gate)) gradients.add(gate, dgate);
        if (gradients.wants(up)) gradients.add(up, dup);
      },
    });
  }
  return out;
}
