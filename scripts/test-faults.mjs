/** `npm run test:faults`: long runs with random faults, such as kill -9 at 50 moments of a training. */
import { run, setUp } from './setup.mjs';

setUp();
run(process.execPath, [
  'node_modules/vitest/vitest.mjs',
  'run',
  '--config',
  'vitest.faults.config.ts',
  ...process.argv.slice(2),
]);
