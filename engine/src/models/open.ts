import type { Device } from '../device/device.js';
import { readModelSource } from '../formats/index.js';
import { type LoadOptions, loadModelFiles } from './load.js';
import type { LanguageModel } from './model.js';

/**
 * Loads a model from a Hugging Face folder, a .gguf file, or the local Hugging Face cache by its name. Weights are mapped
 * and read when they are first needed; `prepare` does it at once. Throws what `loadModelFiles` and the readers of the
 * formats throw.
 */
export async function loadModel(device: Device, path: string, options: LoadOptions = {}): Promise<LanguageModel> {
  return loadModelFiles(device, readModelSource(path), options);
}
