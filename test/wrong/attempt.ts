import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { main } from '../../core/src/cli/main.js';

/** A mistake, and what is said of it. */
export interface Wrong {
  readonly what: string;
  /** Text of largeforge.config.yaml. */
  readonly config?: string;
  /** Beside the config: by path, text or bytes. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Makes of the folder what files alone cannot. */
  readonly prepare?: (folder: string) => void | Promise<void>;
  /** The command line; `run` unless given. */
  readonly line?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Code of the error table. */
  readonly code: string;
  /** What the message says of the place. */
  readonly where: string;
  readonly exit: number;
}

/** Makes every mistake in a folder of its own, with the command line's own program, and reads what it answers. */
export function itSaysWhatIsWrong(mistakes: readonly Wrong[]): void {
  const root = mkdtempSync(join(tmpdir(), 'largeforge-wrong-'));
  const home = process.cwd();
  afterAll(() => {
    process.chdir(home);
    rmSync(root, { recursive: true });
  });
  it.each(mistakes.map((mistake, index) => ({ ...mistake, index })))('$what', async ({ index, ...mistake }) => {
    const { exit, printed } = await attempt(mistake, join(root, String(index)));
    expectAnswer(printed, mistake);
    expect(exit).toBe(mistake.exit);
  });
}

/** Code, place and remedy, and no stack. */
export function expectAnswer(printed: string, { code, where }: Pick<Wrong, 'code' | 'where'>): void {
  expect(printed).toMatch(new RegExp(`^error ${code}: `, 'm'));
  expect(printed).toMatch(/^ {2}what to do: \S.{10}/m);
  expect(printed).toContain(where);
  expect(printed).not.toMatch(/^ {4}at /m);
}

/** Writes the files of a mistake into a new folder. */
export async function makeFolder(folder: string, { config, files, prepare }: Partial<Wrong>): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries({ ...files, ...(config && { 'largeforge.config.yaml': config }) })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  await prepare?.(folder);
}

async function attempt(mistake: Wrong, folder: string): Promise<{ exit: number; printed: string }> {
  await makeFolder(folder, mistake);
  process.chdir(folder);
  let printed = '';
  const write = (text: unknown) => {
    printed += String(text);
    return true;
  };
  for (const [name, value] of Object.entries(mistake.env ?? {})) vi.stubEnv(name, value);
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(write));
  try {
    return { exit: await main((mistake.line ?? 'run').split(' ')), printed };
  } finally {
    for (const spy of spies) spy.mockRestore();
    vi.unstubAllEnvs();
  }
}
