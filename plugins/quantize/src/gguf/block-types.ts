import type { DType } from '@largeforge/engine';

/** Recipes for the types of tensors, as llama.cpp's quantiser names them. */
export const ggufRecipes = ['q8_0', 'q6_k', 'q4_k_m', 'q4_k_s', 'q4_1', 'q4_0'] as const;
export type GgufRecipe = (typeof ggufRecipes)[number];

/** `general.file_type` (enum llama_ftype). */
export const FILE_TYPES: Readonly<Record<GgufRecipe, number>> = {
  q4_0: 2,
  q4_1: 3,
  q8_0: 7,
  q4_k_s: 14,
  q4_k_m: 15,
  q6_k: 18,
};

/** What a type becomes where its blocks of 256 do not divide a width, as in llama.cpp. */
const FALLBACK: Partial<Record<DType, DType>> = { q4_k: 'q5_0', q6_k: 'q8_0' };

export interface TensorPlace {
  /** "attn_q", "token_embd" */
  readonly part: string;
  readonly layer: number | undefined;
  /** Inputs of the matrix. */
  readonly width: number;
}

export interface ChosenType {
  readonly dtype: DType;
  /** What the recipe says, where the width does not allow it. */
  readonly instead: DType | undefined;
}

/**
 * The type of a matrix: that of the recipe, but more bits where a mistake costs most (llama.cpp, `llama_tensor_get_type`): the
 * head, and in q4_k_m the values and down projections of half of the layers. Widths decide about fallbacks; f16 holds
 * everything.
 */
export function blockTypeOf(
  recipe: GgufRecipe,
  { part, layer, width }: TensorPlace,
  { layers, tied }: { readonly layers: number; readonly tied: boolean },
): ChosenType {
  const wanted = wantedType(recipe, part, layer, layers, tied);
  if (width % 256 === 0 || (!FALLBACK[wanted] && width % 32 === 0)) return { dtype: wanted, instead: undefined };
  return { dtype: width % 32 === 0 ? FALLBACK[wanted]! : 'f16', instead: wanted };
}

function wantedType(recipe: GgufRecipe, part: string, layer: number | undefined, layers: number, tied: boolean): DType {
  if (recipe === 'q8_0' || recipe === 'q6_k') return recipe;
  if (part === 'output' || (part === 'token_embd' && tied)) return 'q6_k';
  if (recipe === 'q4_0' || recipe === 'q4_1') return recipe;
  const sensitive = ['attn_v', 'ffn_down'].includes(part) && layer !== undefined && usesMoreBits(layer, layers);
  return recipe === 'q4_k_m' && sensitive ? 'q6_k' : 'q4_k';
}

/** The first and last eighth of the layers, and each third between them. */
function usesMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}
