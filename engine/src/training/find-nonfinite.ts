import { modulePath } from '../autograd/module-path.js';
import * as commands from '../device/commands/index.js';
import type { Device } from '../device/device.js';
import { Op, opName } from '../device/opcodes.js';
import type { Operand } from '../device/recorder.js';
import type { Parameter } from '../nn/parameter.js';
import { Tensor } from '../tensor/tensor.js';

/** Operations that are looked at, at most: a step of a large model has some ten thousand. */
const mostChecks = 2 ** 17;
/** They move data; what they move is seen where it is used. */
const moving: ReadonlySet<number> = new Set([Op.FILL, Op.WRITE, Op.COPY]);

interface Check {
  readonly op: number;
  readonly module: string;
  readonly backward: boolean;
}

/**
 * Runs `pass` again and looks at every operand of every operation that it records, to tell where the first number that is
 * not finite comes from. It takes some times as long as the pass itself.
 * @returns in words: a parameter, or an operation with its module and pass; undefined when everything was finite
 */
export async function findNonfinite(
  device: Device,
  parameters: ReadonlyMap<string, Parameter>,
  pass: () => Promise<void>,
): Promise<string | undefined> {
  const { recorder } = device;
  const counts = Tensor.zeros(device, [mostChecks], 'f32');
  const checks: (Check | string)[] = [];
  const count = (tensor: Operand, what: Check | string) => {
    const slot = counts.narrow(0, checks.push(what) - 1, 1);
    commands.reduce(recorder, 'countNonfinite', tensor, slot);
    slot.dispose();
  };
  for (const [name, { master }] of parameters) if (master) count(master, `the parameter ${name}`);
  recorder.inspect((op) => {
    const { module, backward } = modulePath();
    return (operands) => {
      if (moving.has(op)) return;
      for (const [index, operand] of operands.entries()) {
        const teacher = op === Op.DIVERGENCE && index === 1; // may be -infinity by right
        if (checks.length < mostChecks && isFloat(operand) && !teacher) count(operand, { op, module, backward });
      }
    };
  });
  try {
    await pass();
  } finally {
    recorder.inspect(undefined);
  }
  const found = await counts.floats();
  counts.dispose();
  const first = checks.findIndex((_, i) => found[i] !== 0);
  const check = checks[first];
  if (check === undefined || typeof check === 'string') return check;
  const where = check.backward ? 'in the backward pass' : 'in the forward pass';
  return `${opName(check.op)}${check.module ? ` of ${check.module}` : ''}, ${where}`;
}

function isFloat({ dtype, layout, shape }: Operand): boolean {
  return (
    layout === 'strided' &&
    (dtype === 'f32' || dtype === 'bf16' || dtype === 'f16') &&
    shape.every((extent) => extent > 0)
  );
}
