import type { Device } from '../device/device.js';
import type { CommandStream, Operand } from '../device/recorder.js';
import type { Tensor } from '../tensor/tensor.js';

/** Arrays that a step gives to the device, by their names. */
export type StepInputs = Readonly<Record<string, Int32Array | Uint32Array | Float32Array | undefined>>;

interface KnownStep {
  readonly stream: CommandStream;
  /** The input that each WRITE of the stream has its data from. */
  readonly inputs: readonly string[];
  readonly result: Operand;
  readonly revision: number;
}

/** Streams that are kept: about 100 KB each for a model of 30 layers. */
const KEPT = 32;

/**
 * Steps that were recorded once and are submitted again with other inputs, as CUDA graphs are. To record the hundreds of
 * commands of a decoding step takes JavaScript longer than a small model takes to run a tenth of them, on a processor that
 * kernels could have.
 *
 * A step is kept when all the data in its commands is one of its inputs as it stands; what its commands depend on besides must
 * be in its key, or change the device's `revision`.
 */
export class RepeatedSteps {
  private readonly known = new Map<string, KnownStep>();
  private readonly memory;

  constructor(private readonly device: Device) {
    this.memory = device.openArena();
  }

  /**
   * Does what `record` does, and gives where its result lies, until the next step. The one before must have been awaited.
   * @param key equal for steps whose commands are equal but for the inputs
   */
  run(key: string, inputs: StepInputs, record: () => Tensor): Operand {
    return this.again(key, inputs) ?? this.record(key, inputs, record);
  }

  close(): void {
    this.known.clear();
    this.device.closeArena(this.memory);
  }

  private again(key: string, inputs: StepInputs): Operand | undefined {
    const { device, known } = this;
    const step = known.get(key);
    if (!step || !device.captures) return undefined;
    known.delete(key);
    if (step.revision !== device.revision) return undefined;
    known.set(key, step);
    const { stream } = step;
    stream.writes.forEach(({ offset, data }, i) => {
      const bytes = bytesOf(inputs[step.inputs[i]!]!);
      if (bytes.length !== data.length) throw new Error(`a step "${key}" has ${step.inputs[i]} of another length`);
      stream.bytes.set(bytes, offset);
    });
    device.repeat(stream);
    return step.result;
  }

  private record(key: string, inputs: StepInputs, record: () => Tensor): Operand {
    const { device, known } = this;
    const { result: tensor, stream } = device.capture(this.memory, record);
    const { buffer, byteOffset, dtype, layout, shape, strides } = tensor;
    const result = { buffer, byteOffset, dtype, layout, shape, strides };
    // Nothing else takes memory here before the next step is recorded.
    tensor.dispose();
    const sources = stream && sourcesOf(stream, inputs);
    if (stream && sources) {
      known.set(key, { stream, inputs: sources, result, revision: device.revision });
      for (const old of known.keys()) {
        if (known.size <= KEPT) break;
        known.delete(old);
      }
    }
    return result;
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Which input each WRITE of a stream has its data from; undefined when one has other data. */
function sourcesOf({ writes }: CommandStream, inputs: StepInputs): string[] | undefined {
  const names: string[] = [];
  for (const { data } of writes) {
    const name = Object.keys(inputs).find((each) => {
      const array = inputs[each];
      return array?.buffer === data.buffer && array.byteOffset === data.byteOffset && array.byteLength === data.length;
    });
    if (name === undefined) return undefined;
    names.push(name);
  }
  return names;
}
