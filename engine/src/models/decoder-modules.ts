import type { DecoderConfig } from './config.js';

/** What the modules of a family are called, and which of them are fused. Names of a layer's modules lack its own. */
export interface DecoderModules {
  readonly embedding: string;
  /** Learnt positions, which are added to the embeddings. */
  readonly positions?: string;
  /** Layer i is `${layers}.${i}`. */
  readonly layers: string;
  readonly finalNorm: string;
  readonly head: string;
  readonly attentionNorm: string;
  /** Of what the attention adds to the residual stream. */
  readonly attentionOutputNorm?: string;
  readonly feedForwardNorm: string;
  readonly feedForwardOutputNorm?: string;
  readonly qkv:
    | { readonly kind: 'separate'; readonly names: readonly [q: string, k: string, v: string] }
    /** One matrix whose rows are all queries, then all keys, then all values. */
    | { readonly kind: 'stacked'; readonly name: string }
    /** One matrix whose rows are query, key and value of the first head, then of the second. */
    | { readonly kind: 'interleaved'; readonly name: string };
  readonly attentionOutput: string;
  readonly queryNorm: string;
  readonly keyNorm: string;
  readonly feedForward:
    | { readonly kind: 'gated'; readonly names: readonly [gate: string, up: string, down: string] }
    /** Gate and up in one matrix, the gate first. */
    | { readonly kind: 'stacked'; readonly names: readonly [gateUp: string, down: string] }
    | { readonly kind: 'plain'; readonly names: readonly [up: string, down: string] };
  /** Linear layers are kept as [in, out] in files (GPT-2's Conv1D). */
  readonly transposed: boolean;
}

/** What the modules of a layer with experts are called. */
export interface ExpertModules {
  readonly router: string;
  /** Expert e is `${experts}.${e}`. */
  readonly experts: string;
  /** Of one expert. */
  readonly names: readonly [gate: string, up: string, down: string];
  /** Of the expert that every token goes to. */
  readonly shared: readonly [gate: string, up: string, down: string];
  readonly sharedGate: string;
}

/** A linear layer of a block, by its name inside of the layer. */
export interface LinearShape {
  readonly name: string;
  readonly out: number;
  readonly in: number;
  readonly bias: boolean;
}

/** Linear layers of the attention in the order in which they run, that of the output last. */
export function attentionLinears(config: DecoderConfig): LinearShape[] {
  const { hiddenSize, headDim, numHeads, numKvHeads, attentionBias, modules } = config;
  const [q, kv] = [numHeads * headDim, numKvHeads * headDim];
  const input = (name: string, out: number) => ({ name, out, in: hiddenSize, bias: attentionBias.qkv });
  const projections =
    modules.qkv.kind === 'separate'
      ? modules.qkv.names.map((name, i) => input(name, i === 0 ? q : kv))
      : [input(modules.qkv.name, q + 2 * kv)];
  return [...projections, { name: modules.attentionOutput, out: hiddenSize, in: q, bias: attentionBias.output }];
}

/** Linear layers of the feed-forward in the order in which they run, that of the output last. */
export function feedForwardLinears(config: DecoderConfig): LinearShape[] {
  const { hiddenSize, intermediateSize, mlpBias: bias, modules } = config;
  const { kind, names } = modules.feedForward;
  const wide = kind === 'stacked' ? 2 * intermediateSize : intermediateSize;
  return names.map((name, i) =>
    i < names.length - 1
      ? { name, out: wide, in: hiddenSize, bias }
      : { name, out: hiddenSize, in: intermediateSize, bias },
  );
}

/** Linear layers of the expert that every token goes to, and of its gate, which comes last; none without it. */
export function sharedExpertLinears({ experts, hiddenSize }: DecoderConfig): LinearShape[] {
  if (!experts?.sharedIntermediateSize) return [];
  const { sharedIntermediateSize: wide, modules } = experts;
  const [gate, up, down] = modules.shared;
  const layer = (name: string, out: number, input: number) => ({ name, out, in: input, bias: false });
  return [
    layer(gate, wide, hiddenSize),
    layer(up, wide, hiddenSize),
    layer(down, hiddenSize, wide),
    layer(modules.sharedGate, 1, hiddenSize),
  ];
}

/** Names as Llama has them, which most families share. */
export const LLAMA_MODULES: DecoderModules = {
  embedding: 'model.embed_tokens',
  layers: 'model.layers',
  finalNorm: 'model.norm',
  head: 'lm_head',
  attentionNorm: 'input_layernorm',
  feedForwardNorm: 'post_attention_layernorm',
  qkv: { kind: 'separate', names: ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'] },
  attentionOutput: 'self_attn.o_proj',
  queryNorm: 'self_attn.q_norm',
  keyNorm: 'self_attn.k_norm',
  feedForward: { kind: 'gated', names: ['mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'] },
  transposed: false,
};
