/** `npm start`: sets the checkout up and runs the quickstart: fine-tune, score, merge, serve. */
import { run, setUp } from './setup.mjs';

setUp();
run(process.execPath, [
  'core/bin/largeforge.mjs',
  'run',
  'examples/quickstart/largeforge.config.yaml',
  ...process.argv.slice(2),
]);
