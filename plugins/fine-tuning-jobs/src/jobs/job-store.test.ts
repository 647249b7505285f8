import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Job } from './job.js';
import { JobStore } from './job-store.js';

it('keeps the order of jobs that came within one second, also when the server is started again', () => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-job-store-'));
  try {
    // Names that sort in another order than they come in.
    const ids = ['ftjob-m', 'ftjob-c', 'ftjob-z', 'ftjob-a', 'ftjob-q'];
    const store = new JobStore(folder);
    for (const id of ids) store.add({ id, created_at: 1_700_000_000, status: 'queued' } as Job);
    const newestFirst = (jobs: JobStore) => jobs.list().map(({ job }) => job.id);
    expect(newestFirst(store)).toEqual(ids.toReversed());
    const again = new JobStore(folder);
    again.add({ id: 'ftjob-b', created_at: 1_700_000_000, status: 'queued' } as Job);
    expect(newestFirst(again)).toEqual(['ftjob-b', ...ids.toReversed()]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
