/** `npm run test:interop`: the two-way checks against the Python ecosystem, and the tests on larger data. */
import { join } from 'node:path';
import { pythonEnvironment, realModels } from './python-environment.mjs';
import { root, run, setUp } from './setup.mjs';

setUp();
const interpreter = pythonEnvironment('peers');
run(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', 'run', '--config', 'vitest.interop.config.ts', ...process.argv.slice(2)],
  {
    env: {
      ...process.env,
      LARGEFORGE_PYTHON: interpreter,
      LARGEFORGE_MODELS: realModels(interpreter),
      LARGEFORGE_TEST_DATA: process.env.LARGEFORGE_TEST_DATA ?? join(root, '../shared/data'),
    },
  },
);
