import { z } from 'zod';
import { modelErrors } from '../errors.js';
import type { TargetModules } from './targets.js';

/** How a LoRA adapter is made (Hu et al. 2021). Defaults are in brackets. */
export interface LoraOptions {
  /** Rank of the branch [16]. */
  readonly r?: number;
  /** The branch is scaled by alpha / r, or alpha / sqrt(r) with `rslora` [32]. */
  readonly alpha?: number;
  /** Of the branch's input, while training [0]. */
  readonly dropout?: number;
  /** ["all-linear"] */
  readonly targetModules?: TargetModules;
  /** Scale by 1 / sqrt(r) (Kalajdzievski 2023) [false]. */
  readonly rslora?: boolean;
  /** Train the lengths of the weights' rows apart from their directions (DoRA, Liu et al. 2024) [false]. */
  readonly dora?: boolean;
  /** Which biases are trained: none, all, or those of the layers with an adapter ["none"]. */
  readonly bias?: 'none' | 'all' | 'lora_only';
  /** Modules trained in full and saved with the adapter ("lm_head", "embed_tokens") [none]. */
  readonly modulesToSave?: readonly string[];
  /** Of the initial values of A [0]. */
  readonly seed?: number;
}

/** An adapter's settings, complete. */
export interface LoraConfig {
  readonly r: number;
  readonly alpha: number;
  readonly dropout: number;
  readonly targetModules: TargetModules;
  readonly rslora: boolean;
  readonly dora: boolean;
  readonly bias: 'none' | 'all' | 'lora_only';
  readonly modulesToSave: readonly string[];
  /** Ranks and alphas of particular modules. */
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  /** Name or path of the base model, as saved. */
  readonly baseModel: string | undefined;
}

/** Fills in defaults. Throws LF_ENGINE_LORA_OPTION for values out of range. */
export function loraConfig(options: LoraOptions): LoraConfig {
  const { r = 16, alpha = 32, dropout = 0 } = options;
  const wrong = (option: string, reason: string) => modelErrors.LORA_OPTION({ option, reason });
  if (!Number.isInteger(r) || r < 1) throw wrong('r', `${r} is not a positive whole number`);
  if (!(alpha > 0)) throw wrong('alpha', `${alpha} is not positive`);
  if (!(dropout >= 0 && dropout < 1)) throw wrong('dropout', `${dropout} is not in [0, 1)`);
  return {
    r,
    alpha,
    dropout,
    targetModules: options.targetModules ?? 'all-linear',
    rslora: options.rslora ?? false,
    dora: options.dora ?? false,
    bias: options.bias ?? 'none',
    modulesToSave: options.modulesToSave ?? [],
    rankPattern: {},
    alphaPattern: {},
    baseModel: undefined,
  };
}

/** What the branch is multiplied by. */
export function loraScale(alpha: number, r: number, rslora: boolean): number {
  return alpha / (rslora ? Math.sqrt(r) : r);
}

const numbers = z.record(z.string(), z.number().positive()).nullish();
const off = (value: unknown) => value === null || value === undefined || value === false;
const unsupported = (what: string) =>
  z
    .unknown()
    .refine(off, { message: `${what} is not supported` })
    .optional();

/** adapter_config.json of a LoRA adapter. Fields that change what is computed must be known; others are let be. */
const schema = z.looseObject({
  peft_type: z.literal('LORA'),
  r: z.number().int().positive(),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  target_modules: z.union([z.string(), z.array(z.string())]),
  use_rslora: z.boolean().nullish(),
  bias: z.enum(['none', 'all', 'lora_only']).default('none'),
  modules_to_save: z.array(z.string()).nullish(),
  rank_pattern: numbers,
  alpha_pattern: numbers,
  base_model_name_or_path: z.string().nullish(),
  /** How the base model keeps its weights, which the model itself knows. */
  fan_in_fan_out: z.boolean().nullish(),
  use_dora: z.boolean().nullish(),
  lora_bias: unsupported('lora_bias'),
  use_qalora: unsupported('QALoRA'),
  layer_replication: unsupported('layer replication'),
  trainable_token_indices: unsupported('training of single tokens'),
  target_parameters: unsupported('an adapter of parameters that are no layers'),
});

/** Reads adapter_config.json. Throws LF_ENGINE_ADAPTER_CONFIG. */
export function parseAdapterConfig(path: string, raw: Readonly<Record<string, unknown>>): LoraConfig {
  const result = schema.safeParse(raw);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw modelErrors.ADAPTER_CONFIG({ path, problems });
  }
  const config = result.data;
  return {
    r: config.r,
    alpha: config.lora_alpha,
    dropout: config.lora_dropout,
    targetModules: config.target_modules,
    rslora: config.use_rslora ?? false,
    dora: config.use_dora ?? false,
    bias: config.bias,
    modulesToSave: config.modules_to_save ?? [],
    rankPattern: config.rank_pattern ?? {},
    alphaPattern: config.alpha_pattern ?? {},
    baseModel: config.base_model_name_or_path ?? undefined,
  };
}

/** adapter_config.json as PEFT writes it. `transposed`: the base layers keep their weights as [in, out] (Conv1D). */
export function adapterConfigJson(
  config: LoraConfig,
  { taskType, transposed }: { taskType: 'CAUSAL_LM' | 'FEATURE_EXTRACTION'; transposed: boolean },
): Record<string, unknown> {
  return {
    base_model_name_or_path: config.baseModel ?? null,
    bias: config.bias,
    fan_in_fan_out: transposed,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    modules_to_save: config.modulesToSave.length > 0 ? config.modulesToSave : null,
    peft_type: 'LORA',
    r: config.r,
    rank_pattern: config.rankPattern,
    alpha_pattern: config.alphaPattern,
    target_modules: config.targetModules,
    task_type: taskType,
    use_dora: config.dora,
    use_rslora: config.rslora,
  };
}
