/**
 * Every method of merging on two adapters that each saw about half of the kinds of the quickstart's commands: perplexity of the
 * held-out commands of all kinds, processor time and size, and how far the logits of what was written are from those of what it was
 * merged of.
 *
 *   node bench/merging.mjs [--model PATH] [--steps 80] [--rows 16] [--windows 30] [--dtype f32] [--only METHOD,...] [--threads N]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { figures, machine, withSteps } from './steps.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    steps: { type: 'string', default: '80' },
    rows: { type: 'string', default: '16' },
    windows: { type: 'string', default: '30' },
    dtype: { type: 'string', default: 'f32' },
    only: { type: 'string' },
    threads: { type: 'string' },
  },
});
const quickstart = fileURLToPath(new URL('../examples/quickstart/', import.meta.url));
const model = values.model ?? join(quickstart, 'base');
const only = values.only?.split(',');

const lines = readFileSync(join(quickstart, 'data/train.jsonl'), 'utf8').trim().split('\n');
const callOf = (line) => JSON.parse(JSON.parse(line).messages.at(-1).content).call;
const kinds = [...new Set(lines.map(callOf))].sort();
const half = (first) => lines.filter((line) => kinds.indexOf(callOf(line)) < kinds.length / 2 === first);

const weighted = { density: 0.5 };
const ofAdapters = [
  ['cat', {}],
  ['svd', {}],
  ['linear', {}],
  ['ties', weighted],
  ['ties_svd', weighted],
  ['dare_linear', weighted],
  ['dare_linear_svd', weighted],
  ['dare_ties', weighted],
  ['dare_ties_svd', weighted],
  ['magnitude_prune', weighted],
  ['magnitude_prune_svd', weighted],
];
const ofModels = [
  ['linear', {}],
  ['slerp', { t: 0.5 }],
  ['task_arithmetic', {}],
  ['ties', weighted],
  ['dare_linear', weighted],
  ['dare_ties', weighted],
];

const packages = ['backend-cpu', 'data', 'trainer-sft', 'merge-lora', 'evaluate'].map((name) => `@largeforge/${name}`);
await withSteps(packages, values.threads, async (step, folder) => {
  console.log(`${machine(values.threads)}; ${model}`);
  const shared = {
    dtype: values.dtype,
    sequenceLength: 256,
    gate: { dataset: join(quickstart, 'data/heldout.jsonl'), windows: Number(values.windows) },
  };
  const row = async (name, use, options) => {
    const before = process.cpuUsage();
    const outputs = await step('optimize', use, options);
    const { user, system } = process.cpuUsage(before);
    const { perplexity, basePerplexity, logitDifference, bytes } = figures(outputs);
    console.log(
      `| ${name} | ${perplexity.toFixed(2)} | ${((user + system) / 1e6).toFixed(1)} | ${(bytes / 1e6).toFixed(1)} | ` +
        `${basePerplexity.toFixed(2)}, ${(100 * logitDifference).toExponential(1)} % |`,
    );
    return outputs.model;
  };
  const adapters = [];
  for (const [i, first] of [true, false].entries()) {
    const dataset = join(folder, `half-${i}.jsonl`);
    writeFileSync(dataset, `${half(first).join('\n')}\n`);
    const started = performance.now();
    const { adapter } = await step('train', 'sft', {
      ...{ model, dataset, outputDir: join(folder, `adapter-${i}`), seed: i },
      ...{ maxSteps: Number(values.steps), batchSize: Number(values.rows), learningRate: 0.002, maxLength: 256 },
      lora: { r: 8, alpha: 16 },
    });
    console.log(`adapter ${i} trained in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    adapters.push(adapter);
  }
  console.log(
    '| method | perplexity | processor time, s | MB | before, largest difference of a logit |\n| --- | ---: | ---: | ---: | --- |',
  );
  const merged = [];
  for (const [i, adapter] of adapters.entries()) {
    const outputDir = join(folder, `alone-${i}`);
    merged.push(await row(`adapter ${i} alone`, 'merge-lora', { adapter, outputDir, ...shared }));
  }
  for (const [method, options] of ofAdapters) {
    if (only && !only.includes(method)) continue;
    const all = { adapter: adapters, method, ...options, outputDir: join(folder, 'merged'), ...shared };
    await row(method, 'merge-lora', all);
  }
  const base = await row('the base, written again', 'merge-models', {
    ...{ models: [model, model], method: 'linear', outputDir: join(folder, 'base') },
    ...shared,
  });
  for (const [method, options] of ofModels) {
    if (only && !only.includes(`models-${method}`)) continue;
    const [first, second] = merged;
    const models = method === 'slerp' ? [second] : [first, second];
    const baseModel = method === 'linear' ? undefined : method === 'slerp' ? first : base;
    await row(`models, ${method}`, 'merge-models', {
      ...{ models, method, ...(baseModel !== undefined && { baseModel }), ...options },
      ...{ outputDir: join(folder, 'merged-models'), ...shared },
    });
  }
});
