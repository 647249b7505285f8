import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { StepContext } from '@largeforge/core';
import {
  asCausal,
  loadAdapter,
  loadModelFiles,
  type ModelSource,
  openDevice,
  type RowSource,
  readJson,
  scope,
  type TokenRow,
  targetsOf,
  tokenBatch,
  writeJson,
} from '@largeforge/engine';
import type { PretrainOptions } from './options.js';

const scoresFile = 'scores.json';

/**
 * How hard each piece of a corpus is to the model as it starts: the mean cross-entropy of its tokens, which is what a
 * curriculum by a pre-trained model's loss orders by (transfer teacher; Hacohen & Weinshall 2019, section 2). Scores are kept
 * beside the checkpoints: a run that is resumed has them already.
 */
export async function scoresOf(
  context: StepContext<'train'>,
  source: ModelSource,
  rows: RowSource<TokenRow>,
  { adapter, precision, batchSize, maxLength, outputDir }: PretrainOptions,
): Promise<Float64Array> {
  const folder = outputDir === undefined ? context.outputDir : context.resolvePath(outputDir);
  const path = join(folder, scoresFile);
  if (context.resume && existsSync(path)) {
    const { fingerprint, scores } = readJson(path) as { fingerprint?: string; scores?: number[] };
    if (fingerprint === rows.fingerprint && scores) return Float64Array.from(scores);
  }
  const { library, threads, device: index } = await context.backend();
  const device = openDevice({ library, threads, index });
  try {
    const model = asCausal(loadModelFiles(device, source, { dtype: precision }));
    if (adapter !== undefined) loadAdapter(model, context.resolvePath(adapter));
    const count = rows.lengths.length;
    const scores = new Float64Array(count);
    for (let from = 0; from < count; ) {
      context.signal.throwIfAborted();
      let to = from;
      let tokens = 0;
      do tokens += rows.lengths[to++] as number;
      while (to < count && tokens + (rows.lengths[to] as number) <= batchSize * maxLength);
      const read = await rows.read(Array.from({ length: to - from }, (_, i) => from + i));
      const batch = tokenBatch(read);
      const nll = scope(() => model.crossEntropy(model.hidden(batch), batch.labels).nll);
      const losses = await nll.floats();
      nll.dispose();
      for (const [i, row] of read.entries()) {
        let sum = 0;
        for (let t = batch.cuSeqlens[i] as number; t < (batch.cuSeqlens[i + 1] as number); t++)
          sum += losses[t] as number;
        scores[from + i] = sum / Math.max(1, targetsOf(row));
      }
      from = to;
      context.events.emit({
        type: 'progress',
        task: context.name,
        current: from,
        total: count,
        unit: 'documents scored',
      });
    }
    writeJson(path, { fingerprint: rows.fingerprint, scores: [...scores] });
    return scores;
  } finally {
    device[Symbol.dispose]();
  }
}
