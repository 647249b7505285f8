import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished, vi } from 'vitest';
import { main } from '../core/src/cli/main.js';

const quickstart = fileURLToPath(new URL('../examples/quickstart/largeforge.config.yaml', import.meta.url));

it('a dry run of the quickstart finds nothing wrong, names its steps and makes nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-dry-run-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  let printed = '';
  const write = (text: unknown) => {
    printed += String(text);
    return true;
  };
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(write));
  const line = ['run', '--dry-run', '-c', quickstart, '--set', `runDir=${folder}`];
  const exit = await main(line).finally(() => {
    for (const spy of spies) spy.mockRestore();
  });
  expect(printed).toContain(
    'would run: before (evaluate: exact-match), tune (train: sft), merge (optimize: merge-lora), ' +
      'after (evaluate: exact-match), serve (serve: openai)',
  );
  expect(exit).toBe(0);
  expect(readdirSync(folder)).toEqual([]);
});
