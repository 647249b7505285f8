/** `npm run bench`: measures the engine beside its peers and prints ratios. `-- --only NAME`, `-- --json FILE`. */
import { pythonEnvironment } from './python-environment.mjs';
import { run, setUp } from './setup.mjs';

setUp();
run(process.execPath, ['bench/run.mjs', ...process.argv.slice(2)], {
  env: { ...process.env, LARGEFORGE_PYTHON: process.env.LARGEFORGE_PYTHON ?? pythonEnvironment('peers') },
});
