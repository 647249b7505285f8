import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeAdapter } from '@largeforge/engine';

/** Writes an adapter of the query and down projections with random values, the same for the same seed. */
export async function writeRandomAdapter(
  folder: string,
  base: string,
  { rank, seed }: { rank: number; seed: number },
): Promise<string> {
  const config = JSON.parse(readFileSync(join(base, 'config.json'), 'utf8')) as Record<string, number>;
  const { hidden_size: hidden, intermediate_size: inner, num_attention_heads: heads, head_dim: width } = config;
  let state = seed;
  const random = (rows: number, columns: number) => {
    const values = new Float32Array(rows * columns);
    for (let i = 0; i < values.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      values[i] = (state / 2 ** 32 - 0.5) * 0.4;
    }
    return { dtype: 'f32', shape: [rows, columns], bytes: () => new Uint8Array(values.buffer) } as const;
  };
  const tensors = Array.from({ length: config.num_hidden_layers! }, (_, layer) => {
    const module = (name: string) => `base_model.model.model.layers.${layer}.${name}`;
    return [
      { name: `${module('self_attn.q_proj')}.lora_A.weight`, ...random(rank, hidden!) },
      { name: `${module('self_attn.q_proj')}.lora_B.weight`, ...random(heads! * width!, rank) },
      { name: `${module('mlp.down_proj')}.lora_A.weight`, ...random(rank, inner!) },
      { name: `${module('mlp.down_proj')}.lora_B.weight`, ...random(hidden!, rank) },
    ];
  }).flat();
  await writeAdapter(
    folder,
    {
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      base_model_name_or_path: base,
      r: rank,
      lora_alpha: 2 * rank,
      target_modules: ['q_proj', 'down_proj'],
    },
    tensors,
  );
  return folder;
}
