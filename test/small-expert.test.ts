import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { Application } from '@largeforge/core';
import data from '@largeforge/data';
import evaluate from '@largeforge/evaluate';
import generate from '@largeforge/generate';
import merge from '@largeforge/merge-lora';
import gptq from '@largeforge/quant-gptq';
import quantize from '@largeforge/quantize';
import serverOpenai from '@largeforge/server-openai';
import dpo from '@largeforge/trainer-dpo';
import sft from '@largeforge/trainer-sft';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';

const example = fileURLToPath(new URL('../examples/small-expert/', import.meta.url));
const modules = Object.fromEntries(
  Object.entries({
    'backend-cpu': backendCpu,
    data,
    'trainer-sft': sft,
    'trainer-dpo': dpo,
    'merge-lora': merge,
    quantize,
    'quant-gptq': gptq,
    evaluate,
    generate,
    'server-openai': serverOpenai,
  }).map(([name, plugin]) => [`@largeforge/${name}`, async () => plugin]),
);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-small-expert-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

type Options = Record<string, Record<string, unknown>>;

/** The example's config with a few steps of training on a few rows, in a folder of its own, and options of steps changed. */
function config(changes: Options): string {
  const whole = parse(readFileSync(join(example, 'largeforge.config.yaml'), 'utf8'));
  const rows = (file: string, count: number) => {
    const short = join(folder, file.replaceAll(/\W/g, '-').concat('.jsonl'));
    const lines = readFileSync(resolve(example, file), 'utf8').split('\n').slice(0, count);
    writeFileSync(short, `${lines.join('\n')}\n`);
    return short;
  };
  const small: Options = {
    tune: {
      model: resolve(example, '../quickstart/base'),
      dataset: rows('../quickstart/data/train.jsonl', 64),
      maxSteps: 2,
    },
    prefer: { dataset: rows('./data/pairs.jsonl', 16), batchSize: 8 },
    before: { dataset: rows('../quickstart/data/heldout.jsonl', 4), maxTokens: 8 },
    small: {
      calibration: rows('../quickstart/data/train.jsonl', 64),
      samples: 4,
      sequenceLength: 128,
      outputDir: join(folder, 'model'),
    },
    after: { dataset: rows('../quickstart/data/heldout.jsonl', 4), maxTokens: 8, failUnder: 0 },
    serve: { port: 0 },
  };
  for (const step of whole.pipeline) Object.assign(step.with, small[step.name], changes[step.name]);
  const path = join(folder, 'largeforge.config.json');
  writeFileSync(path, JSON.stringify({ ...whole, runDir: join(folder, 'run'), backend: { name: 'cpu', threads: 2 } }));
  return path;
}

/** Runs the pipeline; a server that listens is asked, and then ended. */
async function run(changes: Options): Promise<unknown> {
  config(changes);
  const stop = new AbortController();
  const application = await Application.boot({
    cwd: folder,
    modules,
    env: {},
    logLevel: 'silent',
    signal: stop.signal,
  });
  let answer: unknown;
  try {
    application.events.on('message', async ({ fields }) => {
      if (!fields?.url) return;
      try {
        const response = await fetch(`${fields.url}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            model: 'small-expert',
            max_tokens: 4,
            messages: [{ role: 'user', content: 'set a timer for seven minutes' }],
          }),
        });
        answer = await response.json();
      } finally {
        stop.abort();
      }
    });
    await application.runPipeline();
    return answer;
  } finally {
    await application.close();
  }
}

it('goes from a base model to a small expert that is served; a gate that fails stops it and leaves the last good model', async () => {
  const gate = { dataset: undefined, maxPerplexityRatio: 2 };
  expect(await run({ small: { gate } })).toMatchObject({ object: 'chat.completion', model: 'small-expert' });
  const model = join(folder, 'model');
  const good = readFileSync(join(model, 'model.safetensors'));
  expect(JSON.parse(readFileSync(join(model, 'config.json'), 'utf8')).quantization_config.bits).toBe(4);

  const failing = run({ small: { bits: 2, gate: { dataset: undefined, maxPerplexityRatio: 1.0001, minTop1: 1 } } });
  await expect(failing).rejects.toMatchObject({
    exitCode: 3,
    message: expect.stringMatching(
      /failed its gate: perplexity rose by a factor of .*; the most likely token stayed.*most was lost in model\.layers/,
    ),
  });
  expect(readFileSync(join(model, 'model.safetensors'))).toEqual(good);
  expect(readdirSync(model).filter((name) => name.startsWith('.'))).toEqual([]);
  const report = JSON.parse(readFileSync(join(folder, 'model-rejected', 'report.json'), 'utf8'));
  expect(report.checks.map(({ passed }: { passed: boolean }) => passed)).toEqual([false, false]);
  expect(existsSync(join(folder, 'model-rejected', 'model.safetensors'))).toBe(false);
}, 600_000);
