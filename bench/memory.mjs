/**
 * What merging, pruning and quantising hold in memory: peak memory of each on a model of the shape of a Llama of 7 billion
 * parameters with random weights in bf16, cut to a few layers. Work goes layer by layer, so that more layers take more time and no
 * more memory: two sizes show it. Each case is a process of its own.
 *
 *   node bench/memory.mjs [--layers 2,4] [--hidden 4096] [--wide 11008] [--samples 8] [--only 'NAME;...'] [--threads N]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { locateLibrary } from '@largeforge/backend-cpu';
import {
  asCausal,
  attachLora,
  createModel,
  openDevice,
  readModelSource,
  saveAdapter,
  savePretrained,
} from '@largeforge/engine';
import { machine, withSteps } from './steps.mjs';

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '2,4' },
    hidden: { type: 'string', default: '4096' },
    wide: { type: 'string', default: '11008' },
    samples: { type: 'string', default: '8' },
    only: { type: 'string' },
    threads: { type: 'string' },
    alone: { type: 'string' },
    folder: { type: 'string' },
  },
});
const [hidden, wide] = [Number(values.hidden), Number(values.wide)];
const vocabulary = 32000;
const quickstart = fileURLToPath(new URL('../examples/quickstart/', import.meta.url));

const calibrated = {
  calibration: join(quickstart, 'data/heldout.jsonl'),
  samples: Number(values.samples),
  sequenceLength: 512,
};
const cases = {
  'merge of an adapter': (_, adapter) => ['merge-lora', { adapter }],
  'merge of two adapters, ties': (_, adapter) => ['merge-lora', { adapter: [adapter, adapter], method: 'ties' }],
  'merge of models, linear': (model) => ['merge-models', { models: [model, model], method: 'linear' }],
  'merge of models, ties': (model) => [
    'merge-models',
    { models: [model, model], baseModel: model, method: 'ties', density: 0.5 },
  ],
  wanda: (model) => ['prune', { model, method: 'wanda', ...calibrated }],
  sparsegpt: (model) => ['prune', { model, method: 'sparsegpt', ...calibrated }],
  'channels, a quarter': (model) => ['prune-structured', { model, channels: 0.25, ...calibrated }],
  gptq: (model) => ['gptq', { model, ...calibrated }],
};

/** A model of random weights, and an adapter of rank 16 on all of its linear layers. */
async function write(folder, layers) {
  const config = {
    model_type: 'llama',
    vocab_size: vocabulary,
    hidden_size: hidden,
    intermediate_size: wide,
    num_hidden_layers: layers,
    num_attention_heads: hidden / 128,
    num_key_value_heads: hidden / 128,
    hidden_act: 'silu',
    initializer_range: 0.02,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    max_position_embeddings: 4096,
    tie_word_embeddings: false,
  };
  const device = openDevice({ library: locateLibrary() });
  const model = asCausal(createModel(device, config, { dtype: 'bf16' }));
  const { tokenizer } = readModelSource(join(quickstart, 'base'));
  const path = join(folder, 'model');
  await savePretrained(model, path, { tokenizer });
  attachLora(model, { r: 16 });
  await saveAdapter(model, join(folder, 'adapter'), { baseModel: path });
  const weights = [...model.parameters().values()].reduce((sum, { elements }) => sum + elements, 0);
  device[Symbol.dispose]();
  return weights;
}

/** Runs a case in a process of its own, whose memory is looked at all the while; what of a file is mapped is told apart. */
function measure(name, folder) {
  const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2), '--folder', folder, '--alone', name];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let [out, own] = ['', 0];
  child.stdout.on('data', (chunk) => (out += chunk));
  const look = setInterval(() => {
    try {
      const [, kilobytes] = /^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? [];
      own = Math.max(own, 1024 * Number(kilobytes ?? 0));
    } catch {
      // It has ended.
    }
  }, 50);
  return new Promise((resolve, reject) => {
    child.on('close', (code) => {
      clearInterval(look);
      if (code !== 0) reject(new Error(`${name} ended with ${code}`));
      else resolve({ own, ...JSON.parse(out.trim().split('\n').at(-1)) });
    });
  });
}

if (values.alone === undefined) {
  console.log(`${machine(values.threads)}; hidden size ${hidden}, ${wide} channels, ${vocabulary} tokens`);
  console.log(
    '| case | layers | weights, M | file, MB | own memory, MB | with what is mapped of files, MB | s |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
  );
  for (const layers of values.layers.split(',')) {
    const folder = mkdtempSync(join(tmpdir(), 'largeforge-memory-'));
    try {
      const weights = await write(folder, Number(layers));
      const { size } = statSync(join(folder, 'model/model.safetensors'));
      for (const name of values.only?.split(';') ?? Object.keys(cases)) {
        const { own, peak, seconds } = await measure(name, folder);
        const megabytes = [size, own, peak].map((bytes) => (bytes / 1e6).toFixed(0)).join(' | ');
        console.log(`| ${name} | ${layers} | ${(weights / 1e6).toFixed(0)} | ${megabytes} | ${seconds.toFixed(0)} |`);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
} else {
  const names = ['backend-cpu', 'data', 'merge-lora', 'prune', 'quantize', 'quant-gptq', 'evaluate'];
  const packages = names.map((name) => `@largeforge/${name}`);
  await withSteps(packages, values.threads, async (step, folder) => {
    const [use, options] = cases[values.alone](join(values.folder, 'model'), join(values.folder, 'adapter'));
    const started = performance.now();
    await step('optimize', use, { ...options, outputDir: join(folder, 'out'), dtype: 'bf16' });
    const seconds = (performance.now() - started) / 1000;
    console.log(JSON.stringify({ peak: process.resourceUsage().maxRSS * 1024, seconds }));
  });
}
