import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { byteLength } from '../device/dtype.js';
import { writeJson, writeTextFile } from './atomic-file.js';
import type { TokenizerSource } from './model-source.js';
import { type TensorToWrite, writeSafetensors } from './safetensors.js';

/** As Hugging Face's tools cut models. */
const SHARD_BYTES = 5e9;

/** Writes weights as model.safetensors, or as shards with an index when they are large. */
export async function writeWeights(
  folder: string,
  tensors: readonly TensorToWrite[],
  shardBytes = SHARD_BYTES,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const shards: TensorToWrite[][] = [[]];
  let size = 0;
  let total = 0;
  for (const tensor of tensors) {
    const bytes = byteLength(tensor.dtype, tensor.shape);
    if (size > 0 && size + bytes > shardBytes) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += bytes;
    total += bytes;
  }
  if (shards.length === 1) return writeSafetensors(join(folder, 'model.safetensors'), tensors);
  const map: Record<string, string> = {};
  const number = (n: number) => String(n).padStart(5, '0');
  for (const [i, shard] of shards.entries()) {
    const name = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    await writeSafetensors(join(folder, name), shard);
    for (const tensor of shard) map[tensor.name] = name;
  }
  writeJson(join(folder, 'model.safetensors.index.json'), { metadata: { total_size: total }, weight_map: map });
}

/**
 * Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json and chat_template.jinja. The template is in
 * tokenizer_config.json as well: tools older than its own file look there.
 */
export function writeTokenizerFiles(folder: string, { tokenizer, config, chatTemplate }: TokenizerSource): void {
  writeJson(join(folder, 'tokenizer.json'), tokenizer);
  const full = { ...config, ...(chatTemplate !== undefined && { chat_template: chatTemplate }) };
  writeJson(join(folder, 'tokenizer_config.json'), full);
  if (chatTemplate !== undefined) writeTextFile(join(folder, 'chat_template.jinja'), chatTemplate);
  const names = ['bos_token', 'eos_token', 'unk_token', 'pad_token', 'sep_token', 'cls_token', 'mask_token'];
  const special = Object.fromEntries(names.filter((name) => config[name] != null).map((name) => [name, config[name]]));
  if (Object.keys(special).length > 0) writeJson(join(folder, 'special_tokens_map.json'), special);
}
