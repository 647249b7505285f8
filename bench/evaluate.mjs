/**
 * Time of tasks beside lm-evaluation-harness in f32, alternating task by task, and how far log-likelihoods and accuracies are
 * apart. Theirs is the time of requests to the model alone; ours has the prompts' making and the sums in it. Neither has loading.
 *
 *   node bench/evaluate.mjs --model MODEL.gguf --data FOLDER [--rows 40] [--generated 4] [--tokens 32] [--batch 8] [--repetitions 1]
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine, withSteps } from './steps.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    rows: { type: 'string', default: '40' },
    generated: { type: 'string', default: '4' },
    tokens: { type: 'string', default: '32' },
    batch: { type: 'string', default: '8' },
    repetitions: { type: 'string', default: '1' },
  },
});
const reference = fileURLToPath(new URL('../test/interop/python/lm_eval_reference.py', import.meta.url));
const choices = (name) => join(values.data, `eval-mc/${name}.validation.jsonl`);
const data = {
  arc_easy: choices('arc_easy'),
  arc_challenge: choices('arc_challenge'),
  boolq: choices('boolq'),
  winogrande: choices('winogrande_xl'),
  gsm8k: { train: join(values.data, 'gsm8k/train.jsonl'), test: join(values.data, 'gsm8k/test.jsonl') },
};
const samplesBeside = (results, task) =>
  readFileSync(join(dirname(results), `samples_${task}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/** Scores of both, and the largest difference of a log-likelihood. */
function apart(results, samples, reported) {
  const [metric] = Object.keys(reported.results).filter((key) => /^(acc|exact_match),/.test(key));
  const scores = `${metric} ${results[metric].toFixed(4)}, ${reported.results[metric].toFixed(4)}`;
  if (!metric.startsWith('acc')) return scores;
  const differences = reported.samples.flatMap(({ resps }, i) =>
    resps.map(([[logLikelihood]], choice) => Math.abs(logLikelihood - samples[i].resps[choice][0][0])),
  );
  return `${scores}; ${Math.max(...differences).toExponential(1)}`;
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

await withSteps(['@largeforge/backend-cpu', '@largeforge/evaluate'], undefined, async (step, folder) => {
  console.log(`${machine()}; ${values.rows} documents, gsm8k ${values.generated} of ${values.tokens} tokens`);
  console.log(
    '| task | ours, s | lm-evaluation-harness, s | ratio | scores, ours and theirs; largest difference |\n' +
      '| --- | ---: | ---: | ---: | --- |',
  );
  for (const task of Object.keys(data)) {
    const limit = Number(task === 'gsm8k' ? values.generated : values.rows);
    if (limit === 0) continue;
    const [ours, theirs] = [[], []];
    let scores;
    for (let repetition = 0; repetition < Number(values.repetitions); repetition++) {
      const out = join(folder, 'theirs.json');
      const sizes = [values.rows, values.generated, values.tokens, values.batch, task];
      const { status } = spawnSync(
        process.env.LARGEFORGE_PYTHON,
        [reference, values.model, values.data, folder, out, ...sizes],
        { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HF_HUB_OFFLINE: '1' } },
      );
      if (status !== 0) throw new Error(`lm-evaluation-harness ended with ${status}`);
      const reported = JSON.parse(readFileSync(out, 'utf8'))[task];
      theirs.push(reported.seconds);
      const options = { model: values.model, tasks: [task], data, limit, dtype: 'f32' };
      const { results } = await step('evaluate', 'tasks', { ...options, maxNewTokens: Number(values.tokens) });
      const own = JSON.parse(readFileSync(results, 'utf8'));
      ours.push(own.seconds[task]);
      scores = apart(own.results[task], samplesBeside(results, task), reported);
    }
    const ratio = median(theirs.map((seconds, i) => seconds / ours[i]));
    console.log(
      `| ${task} | ${median(ours).toFixed(1)} | ${median(theirs).toFixed(1)} | ${ratio.toFixed(2)} | ${scores} |`,
    );
  }
});
