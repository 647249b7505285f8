import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { expectAnswer, makeFolder } from './attempt.js';
import { start } from './program.js';

const quickstart = fileURLToPath(new URL('../../examples/quickstart/base', import.meta.url));

/** A folder with the files and the quickstart's model as `./base`. */
async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-program-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  await makeFolder(folder, { files, prepare: () => cpSync(quickstart, join(folder, 'base'), { recursive: true }) });
  return folder;
}

it('a mistake goes to standard error, and to nothing else', async () => {
  const folder = await folderOf({ 'largeforge.config.yaml': 'pipline: []\n' });
  const { exit, stdout, stderr } = await start('run', folder).ended;
  expect(stdout).toBe('');
  expectAnswer(stderr, { code: 'LF_CONFIG_INVALID', where: 'largeforge.config.yaml:1:1: pipline: unknown key' });
  expect(exit).toBe(2);
});

it('a mistake is a JSON line where lines are JSON', async () => {
  const folder = await folderOf({ 'largeforge.config.yaml': '{}\n' });
  const { exit, stdout, stderr } = await start('run --forec --log json', folder).ended;
  expect(stdout).toBe('');
  expect(JSON.parse(stderr)).toEqual({
    type: 'error',
    code: 'LF_CLI_USAGE',
    message: 'unknown option \'--forec\'. Did you mean "--force"?',
    remedy: '`largeforge run --help` shows the arguments, the flags and examples.',
    exitCode: 2,
  });
  expect(exit).toBe(2);
});

it('an instruction set that the processor lacks or nobody knows is named with those that it has', async () => {
  const folder = await folderOf({ 'largeforge.config.yaml': "plugins: ['@largeforge/backend-cpu']\n" });
  const { exit, stdout } = await start('doctor', folder, { LF_CPU_ISA: 'avx9' }).ended;
  expect(stdout).toContain('LF_CPU_ISA asks for "avx9", which is no level that was built; this machine runs: portable');
  expect(exit).toBe(1);
});

it('an error that a plugin throws where nobody waits is told without a stack', async () => {
  const later = "setup() { setTimeout(() => { throw new Error('too late'); }, 50); }";
  const options = 'options: { safeParse: (data) => ({ success: true, data }) }';
  const folder = await folderOf({
    'largeforge.config.yaml': 'plugins: [./p.mjs]\n',
    'p.mjs': `export default { name: 'p', version: '1.0.0', apiVersion: 1, ${options}, ${later} };\n`,
  });
  const doctor = start('doctor', folder);
  const { exit, stderr } = await doctor.ended;
  expect(stderr).toMatch(
    /^error too late\n {2}what to do: this is a defect of the program or a plugin; --debug shows/m,
  );
  expect(stderr).not.toMatch(/^ {4}at /m);
  expect(exit).toBe(1);
});

it('a reader that goes away ends the program without a word', async () => {
  const schema = start('schema', await folderOf({}));
  schema.process.stdout!.destroy();
  const { exit, stderr } = await schema.ended;
  expect(stderr).toBe('');
  expect(exit).toBe(141);
});

it('Ctrl-C during a training writes a checkpoint, says how to go on, and gives 130', async () => {
  const folder = await folderOf({ 'rows.jsonl': '{"prompt": "say a", "completion": "a"}\n'.repeat(8) });
  const line =
    'train sft --model base --dataset rows.jsonl --output-dir out --max-steps 100000 --batch-size 2 --log json';
  const training = start(line, folder);
  await training.until(/"type":"train\.step"/);
  training.process.kill('SIGINT');
  const { exit, stderr } = await training.ended;
  expect(exit).toBe(130);
  expect(stderr).toContain('stopping: a checkpoint is written; Ctrl-C again stops at once');
  const error = JSON.parse(stderr.split('\n').find((text) => text.includes('"type":"error"'))!);
  expect(error).toMatchObject({ code: 'LF_PIPELINE_INTERRUPTED', exitCode: 130 });
  expect(error.remedy).toContain('continues from its checkpoint');
  expect(stderr).not.toMatch(/^ {4}at /m);
  expect(readdirSync(join(folder, 'out/checkpoints')).length).toBeGreaterThan(0);
});

it("requests that are wrong are answered in OpenAI's shape, and the server goes on", async () => {
  const folder = await folderOf({});
  const server = start('serve --model base --port 0 --log json', folder);
  const [, url] = await server.until(/"type":"message".*"url":"(http:[^"]+)"/);
  const post = async (path: string, body: string) => {
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    return { status: response.status, ...((await response.json()) as { error: Record<string, unknown> }) };
  };
  const messages = [{ role: 'user', content: 'a' }];
  expect(await post('/v1/chat/completions', JSON.stringify({ model: 'bas', messages }))).toMatchObject({
    status: 404,
    error: {
      message: 'The model "bas" does not exist. This server has: base.',
      type: 'invalid_request_error',
      param: 'model',
      code: 'model_not_found',
    },
  });
  expect(await post('/v1/completions', '{"model": ')).toMatchObject({
    status: 400,
    error: { type: 'invalid_request_error' },
  });
  expect(
    await post('/v1/chat/completions', JSON.stringify({ model: 'base', messages, temperature: 'hot' })),
  ).toMatchObject({ status: 400, error: { type: 'invalid_request_error', param: 'temperature' } });
  expect(await post('/v1/compeltions', '{}')).toMatchObject({ status: 404, error: { type: 'invalid_request_error' } });
  const good = JSON.stringify({ model: 'base', messages, max_tokens: 1 });
  expect((await post('/v1/chat/completions', good)).status).toBe(200);
  server.process.kill('SIGINT');
  const { exit, stderr } = await server.ended;
  expect(exit).toBe(0);
  expect(stderr).not.toMatch(/^ {4}at /m);
});
