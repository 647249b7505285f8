import { expect, it } from 'vitest';
import { reportLines } from '../commands/doctor.js';
import type { RunProgram } from './programs.js';
import { type BackendSource, findProblems, makeReport, ownVariables } from './report.js';

const missing: RunProgram = async () => ({ ok: false, reason: 'not installed' });

const backends: BackendSource = {
  describe: () => [
    { id: 'cpu', plugin: 'p-cpu', priority: 0 },
    { id: 'cuda', plugin: 'p-cuda', priority: 10 },
  ],
  probe: async (id) => (id === 'cpu' ? { ok: true } : { ok: false, reason: 'no NVIDIA driver' }),
};

it('says which backend would be chosen, and why not the ones before', async () => {
  const finding = { label: 'model cache', lines: ['/models', '2 models'], facts: { count: 2 } };
  const problems = [{ what: 'a model is damaged', remedy: 'download it again' }];
  const diagnoses = {
    describe: () => [{ id: 'models', plugin: 'p-models' }],
    load: async () => ({ inspect: () => ({ ...finding, problems }) }),
  };
  const report = await makeReport({ version: '1.2.3', cwd: '.', environment: {}, backends, diagnoses, run: missing });
  expect(report.chosen).toEqual({
    id: 'cpu',
    why: 'the first by priority that works here; cuda is not usable: no NVIDIA driver',
  });
  const text = reportLines(report).join('\n');
  expect(text).toContain('LargeForge  1.2.3');
  expect(text).toContain('model cache /models\n            2 models\n');
  expect(text).toContain('problem: a model is damaged\n  what to do: download it again');
  expect(report.diagnoses).toEqual([{ id: 'models', plugin: 'p-models', ...finding, problems }]);
  expect(text).toContain(`Node ${process.versions.node}`);
  expect(text).toContain('cuda (p-cuda): no NVIDIA driver');
  expect(text).toContain('problem: no C++ compiler found\n  what to do: only a build from source needs one');
});

it('names what is missing with what to do', () => {
  const problems = findProblems({
    memory: { totalBytes: 8 * 2 ** 30, freeBytes: 2 ** 30, limitBytes: 2 ** 30 },
    disk: { path: '/data', freeBytes: 2 ** 20 },
    compilers: [{ command: 'g++', version: 'g++ 12' }],
    backends: [],
  });
  expect(problems.map(({ what }) => what)).toEqual([
    'no plugin offers a compute backend',
    'less than 2 GiB free on the disk of /data',
    'less than 2 GiB of memory',
  ]);
  for (const { remedy } of problems) expect(remedy.length).toBeGreaterThan(20);
});

it('shows the variables that steer the program, without secrets', () => {
  const environment = {
    LF_CPU_ISA: 'avx2',
    LARGEFORGE__server__apiKey: 'sk-hidden',
    LARGEFORGE_TOKEN: 'x',
    HOME: '/h',
  };
  expect(ownVariables(environment)).toEqual({
    LARGEFORGE_TOKEN: '[secret]',
    LARGEFORGE__server__apiKey: '[secret]',
    LF_CPU_ISA: 'avx2',
  });
});
