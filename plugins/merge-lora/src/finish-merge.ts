import type { StepContext } from '@largeforge/core';
import {
  asCausal,
  type CausalLanguageModel,
  type Device,
  loadModel,
  type ModelSource,
  Tokenizer,
} from '@largeforge/engine';
import {
  compare,
  comparedWindows,
  compareScores,
  comparesText,
  finish,
  type GateOptions,
  gateScores,
  type Observation,
  type OptimizationReport,
  observe,
  peakMemory,
  type StagedModel,
} from '@largeforge/optimize';

/** A text that any model has an opinion of: what merging changes of the logits is measured on it. */
const PROBE = 'The quick brown fox jumps over the lazy dog. In 1969, two people walked on the Moon;';

export type MergeContext = Pick<
  StepContext,
  'name' | 'outputDir' | 'resolvePath' | 'signal' | 'events' | 'backend' | 'kernel'
>;

/** What the merged model is compared with. */
export interface Reference {
  readonly windows: readonly Int32Array[];
  readonly observed: Observation;
  /** Its head. */
  readonly model: CausalLanguageModel;
}

/** Windows that a merge is compared on: of the gate's text, else a short text. */
export async function mergeWindows(
  context: MergeContext,
  options: { readonly gate: GateOptions; readonly sequenceLength: number },
  source: ModelSource,
  vocabSize: number,
): Promise<Int32Array[]> {
  if (options.gate.dataset !== undefined || comparesText(options.gate)) {
    return comparedWindows(context, options, source, undefined);
  }
  if (source.tokenizer) return [await Tokenizer.of(source).encode(PROBE)];
  return [Int32Array.from({ length: 32 }, (_, i) => (i * 37) % vocabSize)];
}

/** What a model makes of windows, before it is merged. */
export async function referenceOf(
  model: CausalLanguageModel,
  windows: readonly Int32Array[],
  signal: AbortSignal,
): Promise<Reference> {
  return { windows, observed: await observe(model, windows, signal), model };
}

interface MergeReport
  extends Pick<OptimizationReport, 'method' | 'model' | 'facts' | 'settings' | 'layers' | 'sizes' | 'gate'> {
  readonly started: number;
  /** Scored in the tasks of the gate for comparison. */
  readonly scored: string;
}

/** Compares what was written with its reference, judges it, and puts it in its place. */
export async function finishMerge(
  context: MergeContext,
  device: Device,
  staged: StagedModel,
  reference: Reference,
  { started, scored, ...report }: MergeReport,
): Promise<Record<string, unknown>> {
  using written = asCausal(await loadModel(device, staged.partial, { dtype: 'f32' }));
  const { windows, observed, model } = reference;
  const comparison = await compare(written, windows, observed, context.signal, model);
  const { gate } = report;
  const before = await gateScores(context, scored, gate, 'bf16');
  const tasks = compareScores(before, await gateScores(context, staged.partial, gate, 'bf16'));
  const files = finish(
    context,
    {
      ...report,
      action: 'merged',
      output: staged.folder,
      comparison,
      tasks,
      seconds: (performance.now() - started) / 1000,
      peakMemoryBytes: peakMemory(),
    },
    staged,
  );
  const { logitDifference, top1: sameBest } = comparison;
  return { model: staged.folder, logitDifference, sameBest, ...files };
}
