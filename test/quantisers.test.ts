import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { type PluginTest, testPlugin } from '@largeforge/core/testing';
import { readSafetensors } from '@largeforge/engine';
import quantAwq from '@largeforge/quant-awq';
import quantGptq from '@largeforge/quant-gptq';
import quantize from '@largeforge/quantize';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const model = fileURLToPath(new URL('../examples/quickstart/base', import.meta.url));
const TEXT = Array.from(
  { length: 600 },
  (_, i) =>
    `Please set a timer for ${i} minutes and put ${['milk', 'bread', 'tea'][i % 3]} number ${i * 7} on the list.`,
).join(' ');

// Each test quantises a model several times.
vi.setConfig({ testTimeout: 300_000 });

let test: PluginTest;
beforeAll(async () => {
  const config = { backend: { name: 'cpu', threads: 2 } };
  test = await testPlugin(quantize, { plugins: [backendCpu, quantGptq, quantAwq], config });
  writeFileSync(join(test.folder, 'text.txt'), TEXT);
});
afterAll(() => test.dispose());

interface Outcome {
  readonly folder: string;
  readonly kl: number;
  readonly config: Record<string, unknown>;
  readonly layers: { name: string; relativeError: number }[];
}

let runs = 0;

/** Quantises the tiny base to 2 bits, or 4 where there are no fewer, and says how far its predictions moved. */
async function quantised(use: string, options: Record<string, unknown> = {}): Promise<Outcome> {
  const calibration = { calibration: join(test.folder, 'text.txt'), samples: 16, sequenceLength: 64, dtype: 'f32' };
  const outputDir = join(test.folder, `out-${runs++}`);
  const bits = use === 'awq' ? 4 : 2;
  const outputs = await test.runStep({
    stage: 'optimize',
    use,
    with: { model, outputDir, bits, ...calibration, gate: { windows: 8 }, ...options },
  });
  const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'));
  const report = json(outputs.report as string);
  const config = json(join(outputDir, 'config.json')).quantization_config;
  return { folder: outputDir, kl: report.comparison.kl, layers: report.layers, config };
}

describe('GPTQ', () => {
  it('moves predictions less than rounding to nearest does, however its columns are ordered', async () => {
    const { kl: baseline } = await quantised('rtn', { search: true });
    for (const order of [
      { actOrder: false, staticGroups: false },
      { actOrder: true, staticGroups: true },
      { actOrder: true, staticGroups: false },
      { actOrder: false, staticGroups: true },
    ]) {
      const { kl, config } = await quantised('gptq', order);
      expect(kl, JSON.stringify(order)).toBeLessThan(0.8 * baseline);
      expect(config.desc_act).toBe(order.actOrder && !order.staticGroups);
    }
  });

  it('writes groups in another order than columns lie in as g_idx, which nothing but the format gptq has', async () => {
    const { folder } = await quantised('gptq', { actOrder: true, staticGroups: false, bits: 4 });
    const file = join(folder, 'model.safetensors');
    const { offset, bytes } = readSafetensors(file).tensors.get('model.layers.0.mlp.down_proj.g_idx')!;
    const index = new Int32Array(readFileSync(file).buffer.slice(offset, offset + bytes));
    expect(index.some((group, column) => column > 0 && group < index[column - 1]!)).toBe(true);
    const counts = new Map<number, number>();
    for (const group of index) counts.set(group, (counts.get(group) ?? 0) + 1);
    expect([...counts.values()]).toEqual(new Array(448 / 32).fill(32));
    const other = quantised('gptq', { actOrder: true, staticGroups: false, bits: 4, format: 'compressed-tensors' });
    await expect(other).rejects.toThrow(/act-order without static groups needs gptq/);
  });

  it.each([
    [2, false],
    [2, true],
    [4, false],
    [8, true],
  ])('writes %i bits, symmetric %s, which read back as they were measured', async (bits, symmetric) => {
    const { config, kl } = await quantised('gptq', { bits, symmetric });
    expect(config).toMatchObject({ bits, sym: symmetric, checkpoint_format: symmetric ? 'gptq' : 'gptq_v2' });
    expect(kl).toBeLessThan({ 2: 3, 4: 0.05, 8: 1e-3 }[bits]!);
  });

  it('takes the damping with which a layer loses least; parts of a layer one after another, or all at once', async () => {
    const mean = ({ layers }: Outcome) =>
      layers.reduce((sum, { relativeError }) => sum + relativeError, 0) / layers.length;
    const strong = await quantised('gptq', { damping: 1 });
    const searched = await quantised('gptq', { damping: [1, 0.01] });
    expect(mean(searched)).toBeLessThan(mean(strong));
    const blockWise = await quantised('gptq', { trueSequential: false });
    expect(blockWise.layers).toHaveLength(42);
    expect(blockWise.kl).toBeLessThan(strong.kl);
    const sequential = await quantised('gptq');
    expect(sequential.layers).toHaveLength(42);
    expect(sequential.kl).toBeLessThan(strong.kl);
    expect(sequential.kl).not.toBe(blockWise.kl);
  });

  it('moves predictions less when weights make up for what earlier layers changed', async () => {
    for (const trueSequential of [true, false]) {
      const { kl: alone } = await quantised('gptq', { trueSequential });
      const { kl: corrected } = await quantised('gptq', { trueSequential, driftCorrection: 0.5 });
      expect(corrected).toBeLessThan(0.95 * alone);
    }
  });
});

describe('AWQ', () => {
  it('moves predictions less than rounding to nearest does, and less again when others make up for errors', async () => {
    const { kl: baseline } = await quantised('rtn', { bits: 4, symmetric: false });
    const { kl: nearest } = await quantised('awq', { rounding: 'nearest', steps: 8 });
    const { kl: compensated, config } = await quantised('awq', { steps: 8 });
    expect(nearest).toBeLessThan(baseline);
    expect(compensated).toBeLessThan(nearest);
    expect(config).toMatchObject({ quant_method: 'awq', version: 'gemm', zero_point: true, bits: 4 });
  });

  it('writes 8 bits as compressed-tensors', async () => {
    const { kl } = await quantised('awq', { bits: 8, format: 'compressed-tensors', steps: 2 });
    expect(kl).toBeLessThan(1e-3);
  });

  it('leaves layers alone that others must stay equal to', async () => {
    // Keys are kept, so the norm before them cannot be divided by scales.
    const { kl } = await quantised('awq', { modules: [{ match: 'k_proj', keep: true }], steps: 2 });
    expect(kl).toBeLessThan(0.05);
  });
});
