import type { ExpertsConfig } from '../config.js';
import type { ExpertModules } from '../decoder-modules.js';
import { modelErrors } from '../errors.js';

/** Names as the Qwen families have them. */
export const QWEN_EXPERTS: ExpertModules = {
  router: 'mlp.gate',
  experts: 'mlp.experts',
  names: ['gate_proj', 'up_proj', 'down_proj'],
  shared: ['mlp.shared_expert.gate_proj', 'mlp.shared_expert.up_proj', 'mlp.shared_expert.down_proj'],
  sharedGate: 'mlp.shared_expert_gate',
};

/** Throws LF_ENGINE_MODEL_CONFIG when a token would need more experts than there are. */
export function checkExperts(modelType: string, experts: ExpertsConfig): ExpertsConfig {
  const { perToken, count } = experts;
  if (perToken <= count) return experts;
  const problem = `num_experts_per_tok: a token cannot use ${perToken} of ${count} experts`;
  throw modelErrors.MODEL_CONFIG({ modelType, problems: [problem] });
}
