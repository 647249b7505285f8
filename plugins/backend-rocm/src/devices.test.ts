import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DeviceProperties } from '@largeforge/engine';
import { describe, expect, it } from 'vitest';
import { emulatedEnvironment, emulatedLibrary } from '../../../engine/src/device/emulated-gpu.fixture.js';
import { describeDevices } from './devices.js';

const engine = fileURLToPath(new URL('../../../engine/dist/index.js', import.meta.url));

/** What the backend answers in a process of its own, since a driver is loaded once. */
function devices(
  library: string,
  environment: Record<string, string>,
): { devices: DeviceProperties[]; reason?: string } {
  const program = `const { backendDevices } = await import(${JSON.stringify(engine)});
    console.log(JSON.stringify(backendDevices(() => ${JSON.stringify(library)})));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  });
  if (!stdout) throw new Error(stderr);
  return JSON.parse(stdout);
}

describe('the backend tells', () => {
  const emulated = emulatedEnvironment('rocm');

  it('its devices', () => {
    const found = devices(emulatedLibrary('rocm'), { ...emulated, LF_EMULATED_DEVICES: '2' });
    const { lines, facts } = describeDevices(found);
    expect(lines).toEqual([expect.stringMatching(/^0: Emulated GPU, .*8\.0 GiB$/), expect.stringMatching(/^1: /)]);
    expect(facts.devices).toHaveLength(2);
  });

  it('that the driver is missing, and how to install it', () => {
    const found = devices(emulatedLibrary('rocm'), { LF_ROCM_DRIVER: '/no/such/driver.so' });
    expect(found).toMatchObject({
      devices: [],
      reason: expect.stringMatching(/not installed: .*no\/such\/driver.*Install/),
    });
  });

  it('that the driver lacks functions, and is too old', () => {
    const found = devices(emulatedLibrary('rocm'), { LF_ROCM_DRIVER: 'libc.so.6' });
    expect(found).toMatchObject({ reason: expect.stringMatching(/lacks .*[iI]nstall/) });
  });

  it('that there is no GPU, and where to look', () => {
    const found = devices(emulatedLibrary('rocm'), { ...emulated, LF_EMULATED_DEVICES: '0' });
    expect(found).toMatchObject({ devices: [], reason: expect.stringMatching(/finds no GPU .*Look at/) });
    expect(describeDevices(found).lines[0]).toMatch(/^none can be used: .*finds no GPU/);
  });
});
