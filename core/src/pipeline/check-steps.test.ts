import { expect, it } from 'vitest';
import { bootWith } from '../application/application.fixture.js';
import { failure, folderWith } from '../config/config.fixture.js';
import { makeToy } from './pipeline.fixture.js';
import type { PipelineOptions } from './run.js';

const reference = (text: string) => `\${steps.${text}}`;

/** The steps of a config, each copying a text after the content of its `data`. */
const config = (...steps: string[]) =>
  `plugins: [toy]\npipeline:\n${steps
    .map((data, i) => `  - {name: s${i}, stage: train, use: copy, with: {text: out/a, data: [${data}]}}\n`)
    .join('')}`;

async function run(yaml: string, options: PipelineOptions = {}, files: Record<string, string> = {}) {
  const toy = makeToy();
  const folder = folderWith({ 'largeforge.config.yaml': yaml, ...files });
  const { application } = await bootWith('', { folder, known: [toy.plugin] });
  try {
    return { toy, outcome: await application.runPipeline(options).catch((error: Error) => error) };
  } finally {
    await application.close();
  }
}

it('a step that would fail is named with its place before any step runs, also by a dry run', async () => {
  for (const dryRun of [false, true]) {
    const { toy, outcome } = await run(config('here.txt', 'none.txt'), { dryRun }, { 'here.txt': 'x' });
    expect(outcome).toMatchObject({
      code: 'LF_STEP_FAILED',
      message: 'largeforge.config.yaml:4:5: pipeline[1] (copy): [plugin toy] no none.txt',
    });
    expect(toy.ran).toEqual([]);
  }
});

it('what an earlier step makes is not looked for', async () => {
  const later = [`"${reference('s0.file')}"`, 'out/a/model', 'out/a', '.largeforge/s0/copy.txt'];
  for (const path of later) {
    const { outcome } = await run(config('', path), { dryRun: true });
    expect(outcome).toMatchObject({ ran: [] });
  }
  expect(await failure(run(config('', 'out/ab')).then(({ outcome }) => Promise.reject(outcome)))).toMatchObject({
    message: expect.stringContaining('no out/ab'),
  });
});

it('a runner without a check has its inputs looked for, but for names that may be in a cache', async () => {
  const measure = (file: string) =>
    `plugins: [toy]\npipeline: [{name: m, stage: evaluate, use: length, with: {file: ${file}}}]\n`;
  const dryRun = async (file: string) => (await run(measure(file), { dryRun: true }, { 'here.txt': '' })).outcome;
  for (const missing of ['./none', '../none', '/none/at/all', 'rows.jsonl']) {
    expect(await dryRun(missing)).toMatchObject({
      code: 'LF_STEP_INPUT_MISSING',
      message: expect.stringMatching(/^largeforge\.config\.yaml:2:12: pipeline\[0\] \(length\): there is no \/.*which/),
    });
  }
  for (const fine of ['here.txt', 'org/name', 'name']) expect(await dryRun(fine)).toMatchObject({ ran: [] });
});

it('steps before --from are not looked at', async () => {
  const { outcome } = await run(config('none.txt', ''), { from: 's1', dryRun: true });
  expect(outcome).toMatchObject({ ran: [] });
});

it('options that wait for a reference are checked when it is known', async () => {
  const yaml = `plugins: [toy]
pipeline:
  - {name: a, stage: train, use: copy, with: {text: x}}
  - {name: b, stage: train, use: copy, with: {text: x, times: "${reference('a.size')}", data: [none.txt]}}
`;
  const { toy, outcome } = await run(yaml);
  expect(toy.ran).toEqual(['a', 'b']);
  expect(outcome).toMatchObject({ message: expect.stringContaining('step "b"') });
});
