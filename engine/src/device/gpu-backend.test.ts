import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { emulatedEnvironment, emulatedLibrary } from './emulated-gpu.fixture.js';
import { describeDevices } from './gpu-backend.js';
import type { DeviceProperties } from './native.js';

const engine = fileURLToPath(new URL('../../dist/index.js', import.meta.url));

/** Built by `npm test` (scripts/build-native.mjs --conformance). */
const kit = fileURLToPath(new URL('../../build/conformance', import.meta.url));

/** What a program that has the engine prints, in a process of its own, since a driver is loaded once. */
function inProcess(body: string, environment: Record<string, string>): unknown {
  const program = `const { backendDevices, openDevice } = await import(${JSON.stringify(engine)});
    console.log(JSON.stringify(await (async () => { ${body} })()));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  });
  if (!stdout) throw new Error(stderr);
  return JSON.parse(stdout);
}

describe.each([
  { vendor: 'cuda', warp: 32 },
  { vendor: 'rocm', warp: 64 },
] as const)('the backend $vendor, emulated with warps of $warp,', ({ vendor }) => {
  const emulated = emulatedEnvironment(vendor);
  const driver = `LF_${vendor.toUpperCase()}_DRIVER`;
  const library = JSON.stringify(emulatedLibrary(vendor));
  const devices = (environment: Record<string, string>) =>
    inProcess(`return backendDevices(() => ${library})`, environment) as {
      devices: DeviceProperties[];
      reason?: string;
    };

  it('tells its devices, with the memory that is free', () => {
    const found = devices({ ...emulated, LF_EMULATED_DEVICES: '2' });
    const { label, lines, facts } = describeDevices('GPUs', found);
    expect(label).toBe('GPUs');
    expect(lines).toEqual([
      expect.stringMatching(/^0: Emulated GPU, .*, 8\.0 of 8\.0 GiB free$/),
      expect.stringMatching(/^1: /),
    ]);
    expect(facts.devices).toHaveLength(2);
  });

  it('tells that the driver is missing, and how to install it', () => {
    expect(devices({ [driver]: '/no/such/driver.so' })).toMatchObject({
      devices: [],
      reason: expect.stringMatching(/not installed: .*no\/such\/driver.*Install/),
    });
  });

  it('tells that the driver lacks functions, and is too old', () => {
    expect(devices({ [driver]: 'libc.so.6' })).toMatchObject({ reason: expect.stringMatching(/lacks .*[iI]nstall/) });
  });

  it('tells that there is no GPU, and where to look', () => {
    const found = devices({ ...emulated, LF_EMULATED_DEVICES: '0' });
    expect(found).toMatchObject({ devices: [], reason: expect.stringMatching(/finds no GPU .*Look at/) });
    expect(describeDevices('GPUs', found).lines[0]).toMatch(/^none can be used: .*finds no GPU/);
  });

  it('counts what is used of the whole device', () => {
    const [before, during, after] = inProcess(
      `const device = openDevice({ library: ${library} });
       const before = device.memoryUsed();
       const handle = device.native.alloc(64 << 20);
       const during = device.memoryUsed();
       device.native.free(handle);
       await device.flush();
       return [before, during, device.memory().allocated];`,
      emulated,
    ) as [number, number, number];
    expect(during - before).toBe(64 << 20);
    expect(after).toBeLessThan(1 << 20);
  });

  it('says by whom memory was asked for when there is none, and what holds the rest', () => {
    const message = inProcess(
      `const device = openDevice({ library: ${library} });
       device.native.alloc(600 << 20);
       try { device.native.alloc(400 << 20); } catch (error) { return error.message; }`,
      { ...emulated, LF_EMULATED_MEMORY: String(1 << 30) },
    );
    // The cap is 94 % of the device.
    expect(message).toMatch(
      /a buffer: 400\.0 MiB .* 600\.0 MiB by buffers.* the cap is 962\.\d MiB of the device's 1024\.0/,
    );
  });

  it('conforms, op for op', () => {
    const { status, stdout, stderr } = spawnSync(kit, [emulatedLibrary(vendor), '--cases', '3', '--seed', '7'], {
      encoding: 'utf8',
      env: { ...process.env, ...emulated },
    });
    expect(status, `${stdout}${stderr}`).toBe(0);
    // Nothing that backends may lack is missing.
    expect(stdout).toContain('KV_WRITE');
    expect(stdout.split('\n').filter((line) => line.includes('not supported'))).toEqual([]);
  }, 300_000);

  it('conforms in products with packed weights, of which three cases have few', () => {
    const { status, stdout, stderr } = spawnSync(kit, [emulatedLibrary(vendor), '--op', 'LINEAR', '--cases', '60'], {
      encoding: 'utf8',
      env: { ...process.env, ...emulated },
    });
    expect(status, `${stdout}${stderr}`).toBe(0);
  }, 120_000);
});
