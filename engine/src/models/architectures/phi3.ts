import { z } from 'zod';
import { count, parseConfig } from '../config.js';
import { LLAMA_MODULES } from '../decoder-modules.js';
import { llamaFields, llamaLike, llamaLikeConfig } from './llama-like.js';

const schema = z.looseObject({
  ...llamaFields,
  max_position_embeddings: count.default(4096),
  rms_norm_eps: z.number().positive().default(1e-5),
  sliding_window: count.nullish(),
});

/** Phi-3 and Phi-4: fused projections; the larger contexts by LongRoPE, which older files call "su" or "yarn". */
export const phi3 = llamaLike(['phi3'], (raw) => {
  const fields = parseConfig(schema, raw);
  const scaling = fields.rope_parameters ?? fields.rope_scaling;
  const type = scaling?.rope_type ?? scaling?.type;
  const rope = scaling && { ...scaling, rope_type: type === 'su' || type === 'yarn' ? 'longrope' : type };
  return llamaLikeConfig(
    { ...fields, ...(fields.rope_parameters ? { rope_parameters: rope } : { rope_scaling: rope }) },
    raw,
    {
      attentionBias: { qkv: false, output: false },
      mlpBias: false,
      qkNorm: false,
      windows: new Array(fields.num_hidden_layers).fill(fields.sliding_window ?? 0),
      modules: {
        ...LLAMA_MODULES,
        qkv: { kind: 'stacked', name: 'self_attn.qkv_proj' },
        feedForward: { kind: 'stacked', names: ['mlp.gate_up_proj', 'mlp.down_proj'] },
      },
    },
  );
});
