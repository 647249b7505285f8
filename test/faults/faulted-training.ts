import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { checkpointsIn, damage, type Fault } from './faults.js';
import { type Trainer, writeCase } from './training-cases.js';

const program = fileURLToPath(new URL('../../core/bin/largeforge.mjs', import.meta.url));
const fullDisk = new URL('./full-disk.mjs', import.meta.url).href;

/** What became of a training and its faults. */
export interface Survival {
  /** SHA-256 of the final adapter. */
  readonly weights: string;
  /** Faults that struck before the training had ended. */
  readonly struck: readonly Fault['kind'][];
  /** What is wrong with how it survived; nothing should be. */
  readonly wrong: readonly string[];
}

interface Attempt {
  readonly code: number | null;
  readonly signal: string | null;
  /** The first step that it trained itself. */
  readonly firstStep: number | undefined;
  /** Steps whose checkpoints it told of. */
  readonly told: readonly number[];
  /** Checkpoints that it called damaged. */
  readonly damaged: readonly string[];
  readonly errors: string;
}

/** Trains, struck by each fault and resumed, until it is done. */
export async function train(folder: string, trainer: Trainer, faults: readonly Fault[]): Promise<Survival> {
  writeCase(folder, trainer);
  const checkpoints = join(folder, 'out', 'checkpoints');
  const whole = () => (existsSync(checkpoints) ? checkpointsIn(checkpoints) : []);
  const struck: Fault['kind'][] = [];
  const wrong: string[] = [];
  let spoilt: number | undefined;
  for (const fault of [...faults, undefined]) {
    const before = whole().filter((step) => step !== spoilt);
    const attempt = await run(folder, fault);
    const at = `${fault?.kind ?? 'no fault'} ${JSON.stringify(fault)}`;
    const expected = (before.at(-1) ?? 0) + 1;
    if (attempt.firstStep !== undefined && attempt.firstStep !== expected) {
      wrong.push(`${at}: went on at step ${attempt.firstStep} instead of ${expected}`);
    }
    if (spoilt !== undefined && !attempt.damaged.some((text) => text.includes(`checkpoint-${spoilt} `))) {
      if (attempt.firstStep !== undefined) wrong.push(`${at}: the damaged checkpoint ${spoilt} is not named`);
    }
    if (spoilt === undefined && attempt.damaged.length > 0) wrong.push(`${at}: ${attempt.damaged.join()}`);
    // A damaged checkpoint is gone when its step has been trained again.
    if (attempt.told.some((step) => step === spoilt)) spoilt = undefined;
    const lost = attempt.told.at(-1);
    if (lost !== undefined && !whole().includes(lost))
      wrong.push(`${at}: the checkpoint ${lost} that was told of is gone`);
    if (attempt.code === 0) {
      if (spoilt !== undefined) wrong.push(`${at}: ended although the checkpoint ${spoilt} was damaged`);
      break;
    }
    if (fault === undefined) throw new Error(`exit code ${attempt.code}: ${attempt.errors}`);
    struck.push(fault.kind);
    const explained = /LF_|out of space|ENOSPC|EFBIG|too large/.test(attempt.errors);
    if ((fault.kind === 'full-disk' || fault.kind === 'file-limit') && !explained) {
      wrong.push(`${at}: ended with ${attempt.code} ${attempt.signal} and says only: ${attempt.errors}`);
    }
    if (fault.kind === 'damage' && spoilt === undefined) spoilt = damage(checkpoints, fault);
  }
  const adapter = readFileSync(join(folder, 'out', 'adapter_model.safetensors'));
  return { weights: createHash('sha256').update(adapter).digest('hex'), struck, wrong };
}

async function run(folder: string, fault: Fault | undefined): Promise<Attempt> {
  const command = [process.execPath, program, 'run', '--log', 'json'];
  if (fault?.kind === 'file-limit') command.unshift('bash', '-c', `ulimit -f ${fault.kibibytes}; exec "$0" "$@"`);
  const env =
    fault?.kind === 'full-disk'
      ? { ...process.env, NODE_OPTIONS: `--import ${fullDisk}`, LARGEFORGE_TEST_DISK_BYTES: String(fault.bytes) }
      : process.env;
  const child = spawn(command[0] as string, command.slice(1), { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const seen = {
    steps: 0,
    firstStep: undefined as number | undefined,
    told: [] as number[],
    damaged: [] as string[],
    errors: '',
  };
  const strike = async (signal: NodeJS.Signals, milliseconds: number) => {
    await sleep(milliseconds);
    child.kill(signal);
  };
  const signal = fault?.kind === 'term' ? 'SIGTERM' : 'SIGKILL';
  const steps = fault && 'steps' in fault ? fault.steps : undefined;
  const milliseconds = fault && 'milliseconds' in fault ? fault.milliseconds : 0;
  if (steps === 0) void strike(signal, milliseconds);
  const read = (line: string) => {
    if (!line.startsWith('{')) return;
    const event = JSON.parse(line) as { type?: string; step?: number; text?: string };
    if (event.text?.includes('is damaged')) seen.damaged.push(event.text);
    if (event.type === 'train.checkpoint') seen.told.push(event.step as number);
    if (event.type !== 'train.step') return;
    seen.firstStep ??= event.step;
    if (++seen.steps === steps) void strike(signal, milliseconds);
  };
  createInterface({ input: child.stdout }).on('line', read);
  createInterface({ input: child.stderr }).on('line', (line) => {
    seen.errors += `${line}\n`;
    read(line);
  });
  const [code, ended] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on('close', (...outcome) => resolve(outcome)),
  );
  return { ...seen, code, signal: ended };
}
