import { loadBackend } from '@largeforge/engine';
import { expect, it, vi } from 'vitest';
import { describeLevel, kernelLevel } from './kernel-level.js';
import { locateLibrary } from './library.js';

it('tells the level that would run and why', async () => {
  const best = loadBackend(locateLibrary()).devices()[0]!.isa;
  const { lines, facts } = await kernelLevel.inspect({});
  expect(lines).toEqual([expect.stringMatching(`^${best}: the best of those that were built`)]);
  expect(facts).toEqual({ level: best });
});

it('tells that LF_CPU_ISA chose it', async () => {
  vi.stubEnv('LF_CPU_ISA', 'portable');
  try {
    const { lines, facts } = await kernelLevel.inspect(process.env);
    expect(lines).toEqual(['portable: LF_CPU_ISA asks for it']);
    expect(facts).toEqual({ level: 'portable', wanted: 'portable' });
  } finally {
    vi.unstubAllEnvs();
  }
});

it('tells why there is none, and what to do', async () => {
  vi.stubEnv('LF_CPU_ISA', 'avx1024');
  try {
    const { lines, problems } = await kernelLevel.inspect(process.env);
    expect(lines[0]).toMatch(/^none: .*LF_CPU_ISA asks for "avx1024".*this machine runs: portable/);
    expect(problems).toEqual([expect.objectContaining({ remedy: expect.stringContaining('unset LF_CPU_ISA') })]);
  } finally {
    vi.unstubAllEnvs();
  }
  const broken = describeLevel(undefined, () => {
    throw new Error('no library');
  });
  expect(broken.problems![0]!.remedy).toContain('npm run build');
});

// A processor that runs every level has none to try here.
const best = ['amx', 'avx512-bf16', 'avx512', 'avx2', 'portable'];
const lacking = best.slice(0, best.indexOf(loadBackend(locateLibrary()).devices()[0]!.isa));
it.each(lacking)('a level that this processor lacks is refused by name: %s', async (level) => {
  vi.stubEnv('LF_CPU_ISA', level);
  try {
    expect((await kernelLevel.inspect(process.env)).lines[0]).toContain(`LF_CPU_ISA asks for "${level}", which `);
  } finally {
    vi.unstubAllEnvs();
  }
});
