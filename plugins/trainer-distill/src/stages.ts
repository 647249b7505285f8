import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { StepContext } from '@largeforge/core';
import { readJson, writeJson } from '@largeforge/engine';
import type { DistillOptions } from './options.js';

type Outputs = Record<string, unknown>;

const finishedFile = 'stage.json';

/**
 * Progressive distillation: the student of each stage begins with some layers of the one before, and learns from the teacher
 * until the next. A stage that ended is not repeated when the step is resumed.
 * @param train runs one stage
 */
export async function runStages(
  context: StepContext<'train'>,
  { stages = [], ...options }: DistillOptions,
  train: (context: StepContext<'train'>, options: DistillOptions) => Promise<Outputs>,
): Promise<Outputs> {
  const folder = options.outputDir === undefined ? context.outputDir : context.resolvePath(options.outputDir);
  let model = options.model;
  let outputs: Outputs = {};
  for (const [i, { keepLayers, maxSteps }] of stages.entries()) {
    const last = i === stages.length - 1;
    const outputDir = last ? folder : join(folder, `stage-${i + 1}`);
    const marker = join(outputDir, finishedFile);
    const { events } = context;
    events.emit({
      type: 'message',
      level: 'info',
      text: `stage ${i + 1} of ${stages.length}: ${described(keepLayers)}`,
    });
    if (context.resume && !last && existsSync(marker)) outputs = readJson(marker);
    else {
      outputs = await train(context, { ...options, model, keepLayers, maxSteps, outputDir });
      if (!last && !options.dryRun) writeJson(marker, outputs);
    }
    if (options.dryRun) return outputs;
    model = outputs.model as string;
  }
  return outputs;
}

function described(keepLayers: number | readonly number[]): string {
  return typeof keepLayers === 'number'
    ? `${keepLayers} layers are kept`
    : `the layers ${keepLayers.join(', ')} are kept`;
}
