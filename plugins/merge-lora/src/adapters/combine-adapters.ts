import {
  bytesOf,
  type CausalLanguageModel,
  readAdapter,
  readServedAdapter,
  readTokenizerFiles,
  type ServedAdapter,
  type TensorToWrite,
  writeAdapter,
  writeTokenizerFiles,
} from '@largeforge/engine';
import { mergeErrors } from '../errors.js';
import { type Branch, combineBranches, needsOneRank } from './combine.js';
import type { CombineOptions } from './methods.js';

const PREFIX = 'base_model.model.';

/**
 * Makes one adapter of several and writes it as PEFT would: its scale is 1 everywhere.
 * @param model that the adapters are for
 * @param base path or name of the model, as the combined adapter says it
 * @throws LF_MERGE_ADAPTERS, and what reading an adapter throws
 */
export async function combineAdapters(
  model: CausalLanguageModel,
  base: string,
  adapters: readonly { readonly path: string }[],
  options: CombineOptions,
  folder: string,
): Promise<void> {
  const served: ServedAdapter[] = [];
  try {
    for (const { path } of adapters) served.push(readServedAdapter(model, path));
    const tensors: TensorToWrite[] = [];
    const ranks = new Map<string, number>();
    for (const [layer, name] of [...model.linears.keys()].entries()) {
      const present = served.flatMap((adapter, i) => (adapter.has(name) ? [i] : []));
      if (present.length === 0) continue;
      const branches: Branch[] = [];
      for (const i of present) branches.push(await branchOf(served[i]!, name, adapters[i]!.path));
      const odd = branches.findIndex(({ rank }) => rank !== branches[0]!.rank);
      if (odd >= 0 && needsOneRank(options.method)) {
        const reason = `${options.method} needs one rank, but in ${name} it is ${branches[odd]!.rank} and elsewhere ${branches[0]!.rank}`;
        throw mergeErrors.LF_MERGE_ADAPTERS({ path: adapters[present[odd]!]!.path, reason });
      }
      const weights = present.map((i) => options.weights[i]!);
      const { rank, a, b } = await combineBranches(model.device, branches, weights, options, layer);
      const { inFeatures, outFeatures } = branches[0]!;
      ranks.set(name, rank);
      const tensor = (side: 'A' | 'B', shape: readonly number[], values: Float32Array): TensorToWrite => ({
        name: `${PREFIX}${name}.lora_${side}.weight`,
        dtype: 'f32',
        shape,
        bytes: () => bytesOf(values),
      });
      tensors.push(tensor('A', [rank, inFeatures], a), tensor('B', [outFeatures, rank], b));
    }
    const first = adapters[0]!.path;
    const tokenizer = readTokenizerFiles(first);
    if (tokenizer) writeTokenizerFiles(folder, tokenizer);
    await writeAdapter(
      folder,
      configOf({ ...readAdapter(first).config, base_model_name_or_path: base }, ranks),
      tensors,
    );
  } finally {
    for (const adapter of served) {
      for (const { a, b } of adapter.values()) {
        a.dispose();
        b.dispose();
      }
    }
  }
}

async function branchOf(adapter: ServedAdapter, name: string, path: string): Promise<Branch> {
  const { a, b, scale } = adapter.get(name)!;
  const [rank, inFeatures] = a.shape as [number, number];
  const branch = { rank, inFeatures, outFeatures: b.shape[0]!, scale, a: await a.floats(), b: await b.floats() };
  if (!branch.a.every(Number.isFinite) || !branch.b.every(Number.isFinite)) {
    throw mergeErrors.LF_MERGE_NOT_FINITE({ path, tensor: name });
  }
  return branch;
}

/** The settings of the first adapter, for layers of these ranks with scale 1. */
function configOf(
  first: Readonly<Record<string, unknown>>,
  ranks: ReadonlyMap<string, number>,
): Record<string, unknown> {
  const r = Math.max(...ranks.values());
  const others = Object.fromEntries([...ranks].filter(([, rank]) => rank !== r));
  return {
    ...first,
    r,
    lora_alpha: r,
    use_rslora: false,
    rank_pattern: others,
    alpha_pattern: others,
    target_modules: [...ranks.keys()],
  };
}
