import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { checkPackage, checkPlugin, testPlugin } from '@largeforge/core/testing';
import { describe, expect, it } from 'vitest';
import plugin from './index.js';

const gate = { minimum: 0.8, steps: ['after'] };
const planOf = (step: string) => ({ step, use: 'exact-match', options: {}, outputDir: '/tmp', resume: false });

describe('largeforge-plugin-hard-cases', () => {
  it('keeps the contract of plugins and of their packages', async () => {
    expect(await checkPlugin(plugin, { options: { gate } })).toEqual([]);
    expect(checkPackage(plugin, new URL('..', import.meta.url), '0.1.0')).toEqual([]);
  });

  it('adds one loss, and a gate if one is asked for', async () => {
    await using without = await testPlugin(plugin);
    expect(without.registered).toEqual({ registries: { loss: ['focal'] }, services: [], commands: [], hooks: [] });
    await using withGate = await testPlugin(plugin, { options: { gate } });
    expect(withGate.registered.hooks).toEqual(['evaluate.gate']);
  });

  it('refuses a score below the minimum, of the evaluations that count', async () => {
    await using test = await testPlugin(plugin, { options: { gate } });
    const judge = async (step: string, outputs: Record<string, unknown>) =>
      (await test.fire('evaluate.gate', { plan: planOf(step), outputs }))?.answer.reason;
    expect(await judge('after', { accuracy: 0.79 })).toBe('accuracy of "after" is 0.790, below 0.8');
    expect(await judge('after', { accuracy: 0.8 })).toBeUndefined();
    expect(await judge('before', { accuracy: 0 })).toBeUndefined();
    expect(await judge('after', { perplexity: 3 })).toBe('"after" gives no figure called "accuracy"');
  });
});

describe('largeforge.config.yaml', () => {
  /** Runs the example as its reader would. */
  async function run(...flags: string[]): Promise<{ code: number; text: string }> {
    const folder = mkdtempSync(join(tmpdir(), 'hard-cases-'));
    const cwd = fileURLToPath(new URL('..', import.meta.url));
    try {
      const args = ['--no', 'largeforge', 'run', '--set', `runDir=${folder}`, ...flags];
      const { stdout, stderr } = await promisify(execFile)('npx', args, { cwd });
      return { code: 0, text: stdout + stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { code, text: stdout + stderr };
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  it('trains with the focal loss and passes the gate', async () => {
    const { code, text } = await run();
    expect(text).toContain('16/16');
    expect(code).toBe(0);
  });

  it('ends at the gate when too little was learnt', async () => {
    const { code, text } = await run('--set', 'pipeline.tune.with.maxSteps=1');
    expect(text).toMatch(/accuracy of "after" is 0\.\d+, below 0\.5/);
    expect(text).toContain('largeforge-plugin-hard-cases');
    expect(code).not.toBe(0);
  });
});
