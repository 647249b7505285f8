import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { started } from './served.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const configOf = (example: string) => join(root, 'examples', example, 'largeforge.config.yaml');

/** Runs a program to its end; gives its output. */
function output(program: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const child = spawn(process.execPath, program, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
  return new Promise((resolve, reject) => {
    child.on('close', (code) =>
      code === 0 ? resolve(text) : reject(new Error(`exit code ${code}:\n${text.slice(-3000)}`)),
    );
  });
}

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-example-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** At small size: two steps each. What they say at full size is in their READMEs. */
it.each([
  ['dpo', /prefer: done/],
  ['orpo', /prefer: done/],
  ['kto', /prefer: done/],
  ['distill', /student: done/],
  ['pretrain', /perplexity of held-out documents\n {2}all: .*\n {2}protocols: .*\n {2}general: /],
  ['search', /trial +learningRate +lora\.r +steps +loss\nbest\/\d-6 /],
])(
  'the example %s runs as it stands',
  (example, expected) =>
    inFolder(async (folder) => {
      const program = [
        join(root, 'core/bin/largeforge.mjs'),
        'run',
        '-c',
        configOf(example),
        '--set',
        `runDir=${folder}`,
      ];
      expect(await output(program, { STEPS: '2', TRIALS: '3' })).toMatch(expected);
    }),
  300_000,
);

it(
  'the example jobs trains for its client and answers',
  () =>
    inFolder(async (folder) => {
      const env = { ADMIN_KEY: 'admin-key-of-the-test', PORT: '0' };
      const small = 'plugins[3][1].defaults.maxSteps=2';
      const server = await started(
        ['run', '-c', configOf('jobs'), '--set', `runDir=${folder}`, '--set', small],
        folder,
        env,
      );
      try {
        const text = await output([join(root, 'examples/jobs/client.mjs'), server.url], env);
        expect(text).toMatch(
          /Step 2\/2: training loss=.*\n(?:.*\n)*The job has successfully completed\ncould you put oat milk/,
        );
      } finally {
        await server.stop();
      }
    }),
  300_000,
);
