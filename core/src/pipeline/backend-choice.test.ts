import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { bootWith } from '../application/application.fixture.js';
import { definePlugin } from '../application/context.js';
import { failure } from '../config/config.fixture.js';
import type { ChosenBackend } from '../lifecycle/registries.js';
import { defineStepRunner } from '../lifecycle/step-runner.js';

const backends = definePlugin({
  name: 'backends',
  version: '1.0.0',
  apiVersion: 1,
  options: z.strictObject({}),
  setup({ registries }) {
    registries.backend.add('gpu', {
      priority: 1,
      probe: () => ({ ok: false, reason: 'no driver' }),
      load: () => ({ id: 'gpu', library: '/gpu.so' }),
    });
    registries.backend.add('cpu', { load: () => ({ id: 'cpu', library: '/cpu.so' }) });
    registries.dataSource.add('ask', {
      load: () =>
        defineStepRunner('data', {
          options: z.strictObject({}),
          run: async (context) => ({ backend: { ...(await context.backend()) } }),
        }),
    });
  },
});

async function choose(config: string): Promise<{ chosen: ChosenBackend; log: string }> {
  const yaml = `plugins: [backends]\n${config}\npipeline: [{name: a, stage: data, use: ask}]\n`;
  const { application, log } = await bootWith(yaml, { known: [backends] });
  const { outputs } = await application.runPipeline();
  return { chosen: outputs.get('a')!.backend as ChosenBackend, log: log.join('') };
}

describe('the backend', () => {
  it('is the first that works, and the log says why not the others', async () => {
    const { chosen, log } = await choose('');
    expect(chosen).toEqual({ id: 'cpu', library: '/cpu.so' });
    expect(log).toContain('backend gpu is not used: no driver');
  });

  it('is the named one, with its options', async () => {
    const { chosen } = await choose('backend: {name: cpu, threads: 3, device: 1}');
    expect(chosen).toEqual({ id: 'cpu', library: '/cpu.so', threads: 3, device: 1 });
    expect((await choose('backend: {threads: 2}')).chosen).toEqual({ id: 'cpu', library: '/cpu.so', threads: 2 });
  });

  it('is never another than the named one, which is checked before any step runs', async () => {
    expect(await failure(choose('backend: gpu'))).toMatchObject({
      code: 'LF_REGISTRY_UNAVAILABLE',
      message: 'largeforge.config.yaml:2:10: backend: backend "gpu" cannot be used here: no driver',
    });
    expect((await failure(choose('backend: {name: cup}'))).message).toBe(
      'largeforge.config.yaml:2:17: backend.name: there is no backend "cup". Did you mean "cpu"?',
    );
  });
});
