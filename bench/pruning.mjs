/**
 * Every method of pruning on one model: perplexity on windows of 512 tokens of WikiText-2's test split beside the original's,
 * divergence, share of weights that are gone, size, time and peak memory. Each method is a process of its own.
 *
 *   node bench/pruning.mjs --model PATH --data FOLDER [--samples 32] [--windows 16] [--only 'NAME;...']
 *     [--recover STEPS] [--threads N]
 *
 * --recover trains what is left in full on the calibration text, zeros kept 0, and measures it again.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { figures, machine, withSteps } from './steps.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    samples: { type: 'string', default: '32' },
    windows: { type: 'string', default: '16' },
    only: { type: 'string' },
    recover: { type: 'string' },
    threads: { type: 'string' },
    alone: { type: 'string' },
  },
});

const cases = {
  'magnitude, half': ['prune', { method: 'magnitude', sparsity: 0.5 }],
  'wanda, half': ['prune', { method: 'wanda', sparsity: 0.5 }],
  'sparsegpt, half': ['prune', { method: 'sparsegpt', sparsity: 0.5 }],
  'magnitude, 2:4': ['prune', { method: 'magnitude', pattern: '2:4' }],
  'wanda, 2:4': ['prune', { method: 'wanda', pattern: '2:4' }],
  'sparsegpt, 2:4': ['prune', { method: 'sparsegpt', pattern: '2:4' }],
  'channels, a quarter': ['prune-structured', { channels: 0.25 }],
  'heads, a third': ['prune-structured', { heads: 0.34 }],
  'layers, a tenth': ['prune-structured', { layers: 0.1 }],
};

if (values.alone === undefined) {
  console.log(`${machine(values.threads)}; ${values.model}`);
  console.log('| method | perplexity | ratio, 95 % | KL, nats | same best token | gone | MB | s | peak MB |');
  console.log('| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |');
  for (const name of values.only?.split(';') ?? Object.keys(cases)) {
    const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2), '--alone', name];
    const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
    if (status !== 0) process.exit(status ?? 1);
  }
} else {
  const packages = ['backend-cpu', 'data', 'prune', 'evaluate', 'trainer-pretrain'].map(
    (name) => `@largeforge/${name}`,
  );
  await withSteps(packages, values.threads, async (step, folder) => {
    const [use, options] = cases[values.alone];
    const outputs = await step('optimize', use, {
      ...{ model: values.model, outputDir: join(folder, 'pruned'), ...options },
      ...{
        calibration: join(values.data, 'wikitext-2/valid.txt'),
        samples: Number(values.samples),
        sequenceLength: 512,
      },
      gate: { dataset: join(values.data, 'wikitext-2/test.txt'), windows: Number(values.windows) },
    });
    const { perplexity, basePerplexity, perplexityRatio95, kl, top1, seconds, bytes } = figures(outputs);
    const interval = perplexityRatio95.map((bound) => bound.toFixed(2)).join(' to ');
    const shares = [100 * top1, 100 * outputs.sparsity].map((share) => `${share.toFixed(1)} %`).join(' | ');
    const peak = (process.resourceUsage().maxRSS * 1024) / 1e6;
    console.log(
      `| ${values.alone} | ${basePerplexity.toFixed(2)} to ${perplexity.toFixed(2)} | ${interval} | ${kl.toFixed(3)} | ` +
        `${shares} | ${(bytes / 1e6).toFixed(1)} | ${seconds.toFixed(1)} | ${peak.toFixed(0)} |`,
    );
    if (values.recover === undefined) return;
    const test = { dataset: join(values.data, 'wikitext-2/test.txt'), window: 512, maxWindows: Number(values.windows) };
    const measure = async (model) => (await step('evaluate', 'perplexity', { model, ...test })).perplexity;
    const before = await measure(outputs.model);
    const started = performance.now();
    const trained = await step('train', 'pretrain', {
      ...{ model: outputs.model, outputDir: join(folder, 'recovered'), full: true, pruning: { keepZeros: true } },
      ...{ domains: [{ name: 'corpus', dataset: join(values.data, 'wikitext-2/valid.txt') }] },
      ...{ maxSteps: Number(values.recover), batchSize: 4 },
      ...{ maxLength: 512, learningRate: 5e-5 },
    });
    const trainSeconds = (performance.now() - started) / 1000;
    const after = await measure(trained.model);
    console.log(
      `| ${values.alone}, then ${values.recover} steps of 4 x 512 tokens | ${before.toFixed(2)} to ${after.toFixed(2)} | | | | | | ` +
        `${trainSeconds.toFixed(1)} | |`,
    );
  });
}
