import { type CausalLanguageModel, commands, Linear, scope, Tensor } from '@largeforge/engine';
import type { LayerScheme } from './checkpoint/scheme.js';
import { quantizeErrors } from './errors.js';
import type { ModuleRule } from './options.js';

const GROUP_SIZES = [128, 64, 32] as const;

/** The linear layers of a layer of a model, in order. */
export function linearsOf({ config, linears }: CausalLanguageModel, layer: number): Linear[] {
  const prefix = `${config.modules.layers}.${layer}.`;
  return [...linears.values()].filter(({ name }) => name.startsWith(prefix));
}

/** The output head as a linear layer. Throws LF_QUANTIZE_UNSUPPORTED_MODEL where it shares its weights with the embeddings. */
export function headOf(model: CausalLanguageModel): Linear {
  const name = model.config.modules.head;
  const weight = model.parameters().get(`${name}.weight`);
  if (weight) return new Linear(name, weight, undefined);
  const what = 'its head shares its weights with the embeddings, so it cannot be quantised without them';
  throw quantizeErrors.LF_QUANTIZE_UNSUPPORTED_MODEL({ what });
}

/** Throws LF_QUANTIZE_UNSUPPORTED_MODEL for layers that no format here can hold. */
export function checkLayers({ config }: CausalLanguageModel): void {
  const fail = (what: string) => quantizeErrors.LF_QUANTIZE_UNSUPPORTED_MODEL({ what });
  if (config.experts) throw fail(`${config.modelType} has layers with experts`);
  if (config.modules.transposed) throw fail(`${config.modelType} keeps its layers as [in, out]`);
}

/**
 * How each layer is quantised: as `asked`, but for what the first rule whose pattern its module name matches says.
 * Throws LF_QUANTIZE_GROUP_SIZE, and LF_QUANTIZE_FORMAT where codes would not fill their 32-bit words or a pattern is none
 * or matches nothing.
 */
export function planLayers(
  linears: readonly Linear[],
  asked: { readonly bits: number; readonly symmetric: boolean; readonly groupSize?: number | undefined },
  rules: readonly ModuleRule[],
): { base: LayerScheme; others: Map<string, LayerScheme>; kept: string[] } {
  const patterns = rules.map((rule) => ({ rule, pattern: patternOf(rule.match), used: false }));
  const ruleOf = (name: string) => {
    const found = patterns.find(({ pattern }) => pattern.test(name));
    if (found) found.used = true;
    return found?.rule;
  };
  const ruled = linears.map((linear) => ({ linear, rule: ruleOf(linear.name) }));
  const unused = patterns.find(({ used }) => !used);
  if (unused) {
    const reason = `no layer has a name that ${unused.rule.match} matches and no rule before it does`;
    throw quantizeErrors.LF_QUANTIZE_FORMAT({ reason });
  }
  const quantized = ruled.filter(({ rule }) => !rule?.keep);
  const plain = quantized.filter(({ rule }) => rule?.groupSize === undefined).map(({ linear }) => linear);
  const groupSize = asked.groupSize ?? largestGroupSize(plain);
  const base = { bits: asked.bits, symmetric: asked.symmetric, groupSize };
  const others = new Map<string, LayerScheme>();
  for (const { linear, rule } of quantized) {
    const own: LayerScheme = {
      bits: rule?.bits ?? base.bits,
      groupSize: rule?.groupSize ?? groupSize,
      symmetric: rule?.symmetric ?? base.symmetric,
    };
    checkShape(linear, own);
    const same = own.bits === base.bits && own.groupSize === groupSize && own.symmetric === base.symmetric;
    if (!same) others.set(linear.name, own);
  }
  return { base, others, kept: ruled.filter(({ rule }) => rule?.keep).map(({ linear }) => linear.name) };
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw quantizeErrors.LF_QUANTIZE_FORMAT({ reason: `${text} is no regular expression` }, { cause });
  }
}

function largestGroupSize(linears: readonly Linear[]): number {
  return GROUP_SIZES.find((size) => linears.every(({ inFeatures }) => inFeatures % size === 0)) ?? GROUP_SIZES[2];
}

function checkShape({ name, inFeatures, outFeatures }: Linear, { bits, groupSize }: LayerScheme): void {
  if (groupSize > 0 && inFeatures % groupSize !== 0) {
    throw quantizeErrors.LF_QUANTIZE_GROUP_SIZE({ groupSize, layer: name, width: inFeatures });
  }
  if ((inFeatures * bits) % 32 !== 0 || (outFeatures * bits) % 32 !== 0) {
    const reason = `${name} is [${outFeatures}, ${inFeatures}], which ${bits} bits do not pack into whole words of 32 bits`;
    throw quantizeErrors.LF_QUANTIZE_FORMAT({ reason });
  }
}

/** A weight f32 [N, K] on the device; it is the caller's to dispose. Throws LF_QUANTIZE_WEIGHT_NOT_FINITE. */
export async function deviceWeight({ name, weight, inFeatures }: Linear): Promise<Tensor> {
  const copy = weight.toFloat32();
  using wrong = scope(() => {
    const count = Tensor.zeros(weight.device, [1]);
    commands.reduce(weight.device.recorder, 'countNonfinite', copy, count);
    return count;
  });
  if ((await wrong.item()) === 0) return copy;
  const at = (await copy.floats()).findIndex((value) => !Number.isFinite(value));
  copy.dispose();
  const row = Math.floor(at / inFeatures);
  throw quantizeErrors.LF_QUANTIZE_WEIGHT_NOT_FINITE({ layer: name, row, column: at % inFeatures });
}

/** The same on the host. */
export async function finiteWeight(linear: Linear): Promise<Float32Array> {
  using weight = await deviceWeight(linear);
  return await weight.floats();
}
