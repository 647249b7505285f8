import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { cpuDevice } from '../../device/cpu-device.fixture.js';
import type { Device } from '../../device/device.js';
import type { TrainingEvent } from '../events.js';
import { nextTokenObjective } from '../next-token.js';
import type { TrainingOptions } from '../options.js';
import { tinyModel, tinyOptions, tinyRows, weightsOf } from '../tiny-run.fixture.js';
import { train } from '../train.js';

const disk = vi.hoisted(() => ({ beforeManifest: undefined as ((step: number) => Promise<void>) | undefined }));
vi.mock('./manifest.js', async (original) => {
  const manifest = await original<typeof import('./manifest.js')>();
  return {
    ...manifest,
    async writeManifest(...of: Parameters<typeof manifest.writeManifest>) {
      await disk.beforeManifest?.(of[1]);
      await manifest.writeManifest(...of);
    },
  };
});

let device: Device;
let folder: string;
beforeAll(() => {
  device = cpuDevice({ threads: 1 });
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-checkpoints-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});
afterAll(() => device.close());

async function trainTiny(
  checkpoints: Partial<TrainingOptions['checkpoints']>,
  { resume = false, onEvent }: { resume?: boolean; onEvent?: (event: TrainingEvent) => void } = {},
) {
  using model = tinyModel(device);
  const options = tinyOptions({ maxSteps: 8, checkpoints: checkpoints as TrainingOptions['checkpoints'] });
  const run = { model, objective: nextTokenObjective(model), rows: tinyRows(), options, folder, resume };
  await train({ ...run, ...(onEvent ? { onEvent } : {}) });
  return await weightsOf(model);
}

describe('a checkpoint', () => {
  it.each([
    ['one minute', { minutes: 1 }, [3, 6, 8]],
    ['half a minute', { minutes: 0.5 }, [2, 4, 6, 8]],
    ['five steps, and one minute after the last', { steps: 5, minutes: 1 }, [3, 5, 8]],
  ])('is written every %s of steps that take 24 seconds', async (_, when, expected) => {
    let clock = 1e6;
    vi.spyOn(performance, 'now').mockImplementation(() => clock);
    const written: number[] = [];
    await trainTiny(when, {
      onEvent(event) {
        if (event.type === 'step') clock += 24_000;
        if (event.type === 'checkpoint') written.push(event.step);
      },
    });
    expect(written).toEqual(expected);
  });

  it('that meets a full disk in the background ends the run, leaves no part behind, and is made good by resuming', async () => {
    const whole = await trainTiny({ steps: 2 });
    rmSync(folder, { recursive: true });
    // The digests of a checkpoint are written while the next step runs: the disk is full by then.
    let stepBehind = () => {};
    const nextStep = new Promise<void>((resolve) => {
      stepBehind = resolve;
    });
    disk.beforeManifest = async (step) => {
      if (step < 4) return;
      await nextStep;
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
    };
    const seen: string[] = [];
    const hit = trainTiny(
      { steps: 2 },
      {
        onEvent(event) {
          if (event.type === 'checkpoint' || event.type === 'step') seen.push(`${event.type} ${event.step}`);
          if (event.type === 'step' && event.step === 5) stepBehind();
        },
      },
    );
    await expect(hit).rejects.toMatchObject({
      code: 'LF_ENGINE_FILE_UNWRITABLE',
      message: expect.stringMatching(/checkpoint-4 cannot be written: no space is left on the disk/),
    });
    // Step 5 was trained meanwhile; the checkpoint of step 6 waits for that of step 4, and is not begun.
    expect(seen).not.toContain('checkpoint 4');
    expect(seen).toContain('step 5');
    expect(seen).not.toContain('step 7');
    expect(readdirSync(folder)).toEqual(['checkpoint-2']);
    disk.beforeManifest = undefined;
    expect(await trainTiny({ steps: 2 }, { resume: true })).toEqual(whole);
  });
});
