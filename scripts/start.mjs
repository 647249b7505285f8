/** `npm start`: sets the checkout up and runs the quickstart: score, fine-tune, merge, score again, serve. */
import { parseArgs } from 'node:util';
import { run, setUp } from './setup.mjs';

const { values, positionals } = parseArgs({
  options: { port: { type: 'string' } },
  allowPositionals: true,
  strict: false,
});
const port = values.port === undefined ? [] : ['--set', `pipeline.serve.with.port=${values.port}`];

setUp();
run(process.execPath, [
  'core/bin/largeforge.mjs',
  'run',
  '-c',
  'examples/quickstart/largeforge.config.yaml',
  ...port,
  ...positionals,
]);
