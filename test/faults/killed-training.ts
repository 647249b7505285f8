import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = join(root, 'core/bin/largeforge.mjs');
const base = join(root, 'examples/quickstart/base');

/** Options of the training that is killed: a checkpoint after every step, so that most moments fall into writing one. */
const options = [
  '--max-steps',
  '16',
  '--batch-size',
  '2',
  '--save-steps',
  '1',
  '--lora-dropout',
  '0.1',
  '--precision',
  'f32',
];

/** When an attempt is killed: so long after so many of its own steps; with none, after it was started. */
export interface Kill {
  readonly steps: number;
  readonly milliseconds: number;
}

/** Moments drawn from a seed (mulberry32). */
export function killsOf(seed: number, count: number): Kill[] {
  let state = seed >>> 0;
  const draw = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return Array.from({ length: count }, () => {
    const steps = draw() < 0.15 ? 0 : 1 + Math.floor(2 * draw());
    return { steps, milliseconds: draw() * (steps === 0 ? 900 : 150) };
  });
}

export interface Attempts {
  /** SHA-256 of the final adapter. */
  readonly weights: string;
  /** Steps at which attempts went on. */
  readonly resumedAt: readonly number[];
  readonly killed: number;
  /** What was said of damaged checkpoints. */
  readonly damage: readonly string[];
}

/** Trains a tiny model, killed at each moment and resumed, until it is done. */
export async function train(folder: string, kills: readonly Kill[]): Promise<Attempts> {
  const rows = Array.from({ length: 12 }, (_, i) => ({ prompt: `say ${'abcd'[i % 4]}`, completion: 'bcda'[i % 4] }));
  writeFileSync(join(folder, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const resumedAt: number[] = [];
  const damage: string[] = [];
  let killed = 0;
  for (const kill of [...kills, undefined]) {
    const attempt = await run(folder, kill);
    if (attempt.killed) killed++;
    else if (attempt.code !== 0) throw new Error(`exit code ${attempt.code}: ${attempt.errors}`);
    if (attempt.firstStep !== undefined) resumedAt.push(attempt.firstStep - 1);
    damage.push(...attempt.damage);
  }
  const adapter = readFileSync(join(folder, 'out', 'adapter_model.safetensors'));
  return { weights: createHash('sha256').update(adapter).digest('hex'), resumedAt, killed, damage };
}

async function run(folder: string, kill: Kill | undefined) {
  const flags = [
    '--model',
    base,
    '--dataset',
    'rows.jsonl',
    '--output-dir',
    'out',
    ...options,
    '--resume',
    '--log',
    'json',
  ];
  const child = spawn(process.execPath, [program, 'train', 'sft', ...flags], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const seen = { steps: 0, firstStep: undefined as number | undefined, damage: [] as string[], errors: '' };
  const strike = async () => {
    await sleep(kill?.milliseconds);
    child.kill('SIGKILL');
  };
  if (kill?.steps === 0) void strike();
  const read = (line: string) => {
    if (!line.startsWith('{')) return;
    const event = JSON.parse(line) as { type?: string; step?: number; text?: string };
    if (event.text?.includes('is damaged')) seen.damage.push(event.text);
    if (event.type !== 'train.step') return;
    seen.firstStep ??= event.step;
    if (++seen.steps === kill?.steps) void strike();
  };
  createInterface({ input: child.stdout }).on('line', read);
  createInterface({ input: child.stderr }).on('line', (line) => {
    seen.errors += `${line}\n`;
    read(line);
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on('close', (...outcome) => resolve(outcome)),
  );
  return { ...seen, code, killed: signal === 'SIGKILL' };
}
