/** `npm run test:interop`: the two-way checks against the Python ecosystem, and the tests on larger data. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { browser } from './browser.mjs';
import { llamaCpp } from './llama-cpp.mjs';
import { pythonEnvironment, pythonEnvironmentOver, realModels } from './python-environment.mjs';
import { root, run, setUp } from './setup.mjs';

setUp();
const interpreter = pythonEnvironment('peers');
const chromium = browser();
if (!chromium) process.stderr.write('No Chromium is installed: the API page is not tested in a browser.\n');
run(
  process.execPath,
  [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--config',
    'vitest.interop.config.ts',
    ...(chromium ? [] : ['--exclude', '**/api-page.test.ts']),
    ...process.argv.slice(2),
  ],
  {
    env: {
      ...process.env,
      // Playwright wants a path.
      ...(chromium && { LARGEFORGE_CHROMIUM: execFileSync('which', [chromium], { encoding: 'utf8' }).trim() }),
      LARGEFORGE_PYTHON: interpreter,
      LARGEFORGE_TRACKERS_PYTHON: pythonEnvironment('trackers'),
      LARGEFORGE_GPTQMODEL_PYTHON: pythonEnvironmentOver(interpreter, 'gptqmodel'),
      LARGEFORGE_LLMCOMPRESSOR_PYTHON: pythonEnvironmentOver(interpreter, 'llmcompressor'),
      LARGEFORGE_LLAMA_CPP: llamaCpp(),
      LARGEFORGE_MODELS: realModels(interpreter),
      LARGEFORGE_TEST_DATA: process.env.LARGEFORGE_TEST_DATA ?? join(root, '../shared/data'),
    },
  },
);
