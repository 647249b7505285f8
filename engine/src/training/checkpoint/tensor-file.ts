import * as commands from '../../device/commands/index.js';
import type { Device } from '../../device/device.js';
import { readSafetensors, writeSafetensors } from '../../formats/safetensors.js';
import { Tensor } from '../../tensor/tensor.js';
import { trainingErrors } from '../errors.js';

/** Writes f32 tensors of a device to a safetensors file, one after the other: memory holds one of them at a time. */
export async function saveTensors(device: Device, path: string, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
  await writeSafetensors(
    path,
    [...tensors].map(([name, tensor]) => ({
      name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      bytes: () => device.read(tensor, tensor.bytes),
    })),
  );
}

/**
 * Fills tensors of a device from a file that `saveTensors` wrote.
 * @throws LF_ENGINE_CHECKPOINT_CORRUPT when names or shapes are others
 */
export async function loadTensors(device: Device, path: string, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
  const stored = readSafetensors(path).tensors;
  const unknown = [...stored.keys()].find((name) => !tensors.has(name));
  if (unknown !== undefined) throw trainingErrors.CHECKPOINT_CORRUPT({ path, reason: `it holds '${unknown}' besides` });
  for (const [name, tensor] of tensors) {
    const entry = stored.get(name);
    if (!entry || entry.dtype !== tensor.dtype || entry.shape.join() !== tensor.shape.join()) {
      const found = entry ? `${entry.dtype} [${entry.shape.join(', ')}]` : 'nothing';
      throw trainingErrors.CHECKPOINT_CORRUPT({
        path,
        reason: `'${name}' should be ${tensor.describe()}, it holds ${found}`,
      });
    }
    using mapped = Tensor.over(device, device.mapFile(path, entry.offset, entry.bytes), entry.shape, entry.dtype);
    commands.copy(device.recorder, mapped, tensor);
  }
  await device.flush();
}
