/**
 * Quantises a model here, to 4 bits unless a method's name says how many, with GPTQModel and with llm-compressor, on the same windows, and compares perplexities:
 *
 *   node bench/quantise.mjs --model FOLDER --calibration TEXT --test TEXT --work FOLDER [--windows N] [--samples N] [--only NAMES]
 *
 * Groups of 64 (smoothquant: whole rows, 8 bits, inputs too), lm_head left, calibrated on the first 128 (--samples) windows of 512 tokens of a text that is tokenised as one,
 * without special tokens and with its line breaks as they are. Perplexity is over windows of 512 tokens of the test text without
 * overlap and without BOS, in bf16, of all models by the same program (ours, which loads the peers' files); all windows unless
 * --windows says how many. Intervals are of the ratio to the first model named, paired by window. What the work folder has
 * from an earlier run is not made again. LARGEFORGE_GPTQMODEL_PYTHON and LARGEFORGE_LLMCOMPRESSOR_PYTHON are the peers'
 * interpreters.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readSafetensors } from '@largeforge/engine';

const { values: given } = parseArgs({
  options: {
    model: { type: 'string' },
    calibration: { type: 'string' },
    test: { type: 'string' },
    work: { type: 'string' },
    windows: { type: 'string' },
    samples: { type: 'string', default: '128' },
    only: { type: 'string', default: 'gptq,awq,gptqmodel-gptq,llmcompressor-gptq' },
  },
});
// Steps run in a folder of their own.
const paths = ['model', 'calibration', 'test', 'work'].map((name) => [name, resolve(given[name])]);
const values = { ...given, ...Object.fromEntries(paths) };
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const samples = Number(given.samples);
const place = (name) => join(values.work, name);
const json = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** Runs a step here; returns what quantise-one.mjs prints. */
function step(own) {
  const out = execFileSync(process.execPath, [here('quantise-one.mjs'), JSON.stringify(own)], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(out.trim().split('\n').at(-1));
}

const ours =
  (use, own = {}) =>
  (folder) => {
    const options = {
      model: values.model,
      calibration: values.calibration,
      samples,
      groupSize: 64,
      outputDir: folder,
      ...own,
    };
    // What it is compared on costs time that the peers do not spend.
    return step({ stage: 'optimize', use, with: { ...options, gate: { windows: 1 } } });
  };

const theirs = (peer, method) => (folder) => {
  const python = process.env[`LARGEFORGE_${peer.toUpperCase()}_PYTHON`];
  const args = [values.model, values.calibration, method, given.samples, folder, `${folder}.peer.json`];
  execFileSync(python, [here(`peers/${peer}_quantize.py`), ...args], {
    // They keep a folder of logs where they run.
    cwd: values.work,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, OMP_WAIT_POLICY: 'PASSIVE', HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false' },
  });
  return json(`${folder}.peer.json`);
};

const methods = {
  gptq: ours('gptq'),
  'gptq-drift': ours('gptq', { driftCorrection: 1 }),
  'gptq-half-drift': ours('gptq', { driftCorrection: 0.5 }),
  'gptq-compressed': ours('gptq', { format: 'compressed-tensors' }),
  'gptq-compressed-half-drift': ours('gptq', { format: 'compressed-tensors', driftCorrection: 0.5 }),
  'gptq-asymmetric': ours('gptq', { symmetric: false }),
  ...Object.fromEntries([2, 3, 8].map((bits) => [`gptq-${bits}-bits`, ours('gptq', { bits })])),
  'awq-8-bits': ours('awq', { bits: 8, format: 'compressed-tensors' }),
  awq: ours('awq'),
  'awq-drift': ours('awq', { driftCorrection: 1 }),
  'awq-half-drift': ours('awq', { driftCorrection: 0.5 }),
  'awq-nearest': ours('awq', { rounding: 'nearest' }),
  smoothquant: ours('smoothquant', { groupSize: undefined }),
  'nearest-smoothquant': ours('smoothquant', { groupSize: undefined, rounding: 'nearest' }),
  rtn: ours('rtn'),
  // Block formats of llama.cpp, weighed by the calibration text.
  ...Object.fromEntries(
    ['q8_0', 'q6_k', 'q4_k_m', 'q4_k_s', 'q4_1', 'q4_0'].map((type) => [
      `gguf-${type}`,
      ours('gguf', { groupSize: undefined, type }),
    ]),
  ),
  'rtn-asymmetric': ours('rtn', { symmetric: false }),
  'gptqmodel-gptq': theirs('gptqmodel', 'gptq'),
  'gptqmodel-gptaq': theirs('gptqmodel', 'gptaq'),
  'llmcompressor-gptq': theirs('llmcompressor', 'gptq'),
  'llmcompressor-awq': theirs('llmcompressor', 'awq'),
  'llmcompressor-smoothquant': theirs('llmcompressor', 'smoothquant'),
};

/** Runs `make` unless its outcome is there. */
function kept(name, make) {
  const file = place(`${name}.json`);
  if (!existsSync(file)) writeFileSync(file, JSON.stringify(make()));
  return json(file);
}

/** [log-likelihood, tokens] of each window. */
function windowScores(name, model) {
  const suffix = values.windows === undefined ? 'all' : values.windows;
  return kept(`${name}.perplexity-${suffix}`, () => {
    const windows = values.windows === undefined ? {} : { maxWindows: Number(values.windows) };
    // Inputs of 8 bits are part of W8A8; other formats are measured with inputs as they are.
    const weights = name.endsWith('smoothquant') ? { weights: 'as-stored' } : {};
    const options = { model, dataset: values.test, window: 512, ...windows, ...weights };
    return step({ stage: 'evaluate', use: 'perplexity', with: options }).windowScores;
  });
}

const bitsOf = (name) => Number(/-(\d)-bits$/.exec(name)?.[1] ?? 4);

/**
 * Bits that a weight of the quantised layers takes, with scales, zero points and order; and all files of weights.
 * @param bits of a code, of which words hold as many as fit, one behind the other
 */
function sizes(folder, bits) {
  const files = readdirSync(folder).filter((name) => name.endsWith('.safetensors'));
  let [bytes, weights, all] = [0, 0, 0];
  for (const name of files) {
    all += statSync(join(folder, name)).size;
    for (const [tensor, { bytes: size, shape, dtype }] of readSafetensors(join(folder, name)).tensors) {
      if (
        dtype !== 'i8' &&
        !/\.(qweight|qzeros|scales|g_idx|weight_packed|weight_scale|weight_zero_point|weight_shape)$/.test(tensor)
      )
        continue;
      bytes += size;
      if (dtype === 'i8') weights += shape[0] * shape[1];
      if (/\.(qweight|weight_packed)$/.test(tensor)) weights += (32 / bits) * shape[0] * shape[1];
    }
  }
  return { bitsPerWeight: (8 * bytes) / weights, megabytes: all / 1e6 };
}

/** Bits and bytes of a GGUF file, as its report has them: all of its matrices are quantised, the embeddings too. */
function ggufSizes(folder) {
  const { bitsPerWeight, bytesAfter } = json(join(folder, 'report.json')).sizes;
  return { bitsPerWeight, megabytes: bytesAfter / 1e6 };
}

const perplexity = (scores) =>
  Math.exp(-scores.reduce((sum, [own]) => sum + own, 0) / scores.reduce((sum, [, count]) => sum + count, 0));

/** Ratio of perplexities with its 95 % interval, from the differences of windows. */
function ratio(own, base) {
  const differences = own.map(([score, count], i) => (base[i][0] - score) / count);
  const mean = differences.reduce((a, b) => a + b, 0) / differences.length;
  const variance = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (differences.length - 1);
  const half = 1.96 * Math.sqrt(variance / differences.length);
  return [mean, mean - half, mean + half].map((value) => Math.exp(value).toFixed(4));
}

mkdirSync(values.work, { recursive: true });
const original = windowScores('original', values.model);
console.log(`original: perplexity ${perplexity(original).toFixed(3)}, ${original.length} windows`);
console.log(
  '| method | perplexity | ratio to the first | bits per weight | MB | seconds | of processors | MiB at most |',
);
console.log('| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |');
let first;
for (const name of values.only.split(',')) {
  const folder = place(name);
  const { seconds, processor, peakBytes } = kept(name, () => methods[name](folder));
  const gguf = name.startsWith('gguf-');
  const scores = windowScores(name, gguf ? join(folder, 'model.gguf') : folder);
  first ??= scores;
  const [mean, low, high] = ratio(scores, first);
  const { bitsPerWeight, megabytes } = gguf ? ggufSizes(folder) : sizes(folder, bitsOf(name));
  const size = `${bitsPerWeight.toFixed(3)} | ${megabytes.toFixed(1)}`;
  const cost = `${seconds.toFixed(0)} | ${processor.toFixed(0)} | ${(peakBytes / 2 ** 20).toFixed(0)}`;
  console.log(`| ${name} | ${perplexity(scores).toFixed(3)} | ${mean} (${low} to ${high}) | ${size} | ${cost} |`);
}
