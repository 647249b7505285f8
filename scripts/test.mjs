/** `npm test`: sets the checkout up, checks style and types, and runs the tests that need nothing but the repository. */
import { run, setUp } from './setup.mjs';

setUp('--conformance');
const args = process.argv.slice(2);
if (args.length === 0)
  run(process.execPath, ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.']);
run(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...(args.length > 0 ? args : ['--coverage'])]);
