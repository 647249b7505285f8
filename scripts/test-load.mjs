/**
 * `npm run test:load`: 1,100 streams at once and 10,000 requests of all kinds against a server in another process, and long
 * random schedules of the generation engine; prints what it measured. `npm test` has a small part of both.
 */
import { run, setUp } from './setup.mjs';

setUp();
run(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--no-file-parallelism',
    'test/load',
    'engine/src/generation/batch-invariance.test.ts',
    ...process.argv.slice(2),
  ],
  {
    env: { ...process.env, LARGEFORGE_LOAD: 'whole' },
  },
);
