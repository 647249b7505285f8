import { definePlugin } from '@largeforge/core';
import { z } from 'zod';
import { builtInFormats } from './formats/index.js';

export { checkData } from './check-data.js';
export { dataErrors } from './errors.js';
export {
  checkConversation,
  type DatasetFormat,
  defineFormat,
  type Example,
  type Message,
  type ReadingOptions,
  RowError,
  type RowKind,
  type Verdict,
} from './formats/format.js';
export type { PairRow } from './limit-pairs.js';
export { type DataOptions, dataOptions } from './options.js';
export type { DataReport } from './report.js';
export { exampleRows, type JudgedRow, judgedRows, pairRows, type RowShape } from './row-shape.js';
export { type TrainingData, trainingData } from './training-data.js';

export default definePlugin({
  name: '@largeforge/data',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup(context) {
    for (const format of builtInFormats) {
      context.registries.datasetFormat.add(format.id, { describe: format.fields, load: () => format });
    }
  },
});
