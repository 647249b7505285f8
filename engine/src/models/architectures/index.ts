import { modelErrors } from '../errors.js';
import type { Architecture } from './architecture.js';
import { bert } from './bert.js';
import { gemma2, gemma3 } from './gemma.js';
import { gptNeox } from './gpt-neox.js';
import { gpt2 } from './gpt2.js';
import { llama } from './llama.js';
import { mistral } from './mistral.js';
import { mixtral } from './mixtral.js';
import { phi3 } from './phi3.js';
import { qwen2Moe, qwen3Moe } from './qwen-moe.js';
import { qwen2 } from './qwen2.js';
import { qwen3 } from './qwen3.js';

const architectures = new Map<string, Architecture>();

/** Makes a family known under its model types. A later one replaces an earlier one of the same type. */
export function registerArchitecture(architecture: Architecture): void {
  for (const type of architecture.modelTypes) architectures.set(type, architecture);
}

for (const architecture of [
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen2Moe,
  qwen3,
  qwen3Moe,
  phi3,
  gemma2,
  gemma3,
  gpt2,
  gptNeox,
  bert,
])
  registerArchitecture(architecture);

/** Model types that can be loaded. */
export function knownModelTypes(): string[] {
  return [...architectures.keys()].sort();
}

/** The family of a config.json. Throws LF_ENGINE_UNKNOWN_ARCHITECTURE, which lists the known ones. */
export function architectureOf(raw: Readonly<Record<string, unknown>>): Architecture {
  const modelType = typeof raw.model_type === 'string' ? raw.model_type : '(none)';
  const architecture = architectures.get(modelType);
  if (!architecture) throw modelErrors.UNKNOWN_ARCHITECTURE({ modelType, known: knownModelTypes() });
  return architecture;
}
