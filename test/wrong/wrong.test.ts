import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { main } from '../../core/src/cli/main.js';

interface Wrong {
  readonly what: string;
  /** Text of largeforge.config.yaml. */
  readonly config?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly line?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Code of the error table. */
  readonly code: string;
  /** What the message says of the place. */
  readonly where: string;
  readonly exit: number;
}

const sft = (options: string) =>
  `plugins: ['@largeforge/backend-cpu', '@largeforge/data', '@largeforge/trainer-sft']\npipeline:\n  - {name: tune, stage: train, use: sft, with: {${options}}}\n`;
const plugin = (fields: string, setup = '') =>
  `export default { name: 'p', version: '1.0.0', apiVersion: 1, options: { safeParse: (data) => ({ success: true, data }), parse: (v) => v }, ${fields} setup() { ${setup} } };\n`;
const own = 'plugins: [./p.mjs]\n';

const wrong: readonly Wrong[] = [
  {
    what: 'bad YAML',
    config: 'plugins: [a\nx: 1\n',
    code: 'LF_CONFIG_SYNTAX',
    where: 'largeforge.config.yaml:2:1',
    exit: 2,
  },
  {
    what: 'a tab',
    config: 'log:\n\tlevel: info\n',
    code: 'LF_CONFIG_SYNTAX',
    where: 'largeforge.config.yaml:2:1',
    exit: 2,
  },
  {
    what: 'a key twice',
    config: 'runDir: a\nrunDir: b\n',
    code: 'LF_CONFIG_SYNTAX',
    where: 'largeforge.config.yaml:2:1',
    exit: 2,
  },
  {
    what: 'a list at the top',
    config: '- a\n',
    code: 'LF_CONFIG_INVALID',
    where: 'largeforge.config.yaml:1:1',
    exit: 2,
  },
  {
    what: 'an unknown key',
    config: 'plugin: []\n',
    code: 'LF_CONFIG_INVALID',
    where: 'largeforge.config.yaml:1:1: plugin: unknown key',
    exit: 2,
  },
  {
    what: 'a wrong type',
    config: 'runDir: [1]\n',
    code: 'LF_CONFIG_INVALID',
    where: 'largeforge.config.yaml:1:9: runDir',
    exit: 2,
  },
  { what: 'a wrong log level', config: 'log: {level: loud}\n', code: 'LF_CONFIG_INVALID', where: 'log.level', exit: 2 },
  {
    what: 'no threads',
    config: 'backend: {threads: 0}\n',
    code: 'LF_CONFIG_INVALID',
    where: 'largeforge.config.yaml:1:20: backend.threads',
    exit: 2,
  },
  {
    what: 'an unknown stage',
    config: 'pipeline: [{name: a, stage: trian, use: sft}]\n',
    code: 'LF_CONFIG_INVALID',
    where: 'pipeline[0].stage',
    exit: 2,
  },
  {
    what: 'a step without use',
    config: 'pipeline: [{name: a, stage: train}]\n',
    code: 'LF_CONFIG_INVALID',
    where: 'pipeline[0].use',
    exit: 2,
  },
  {
    what: 'two steps of one name',
    config: 'pipeline: [{name: a, stage: train, use: x}, {name: a, stage: train, use: x}]\n',
    code: 'LF_CONFIG_INVALID',
    where: 'pipeline[1].name',
    exit: 2,
  },
  {
    what: 'a step name with a space',
    config: 'pipeline: [{name: a b, stage: train, use: x}]\n',
    code: 'LF_CONFIG_INVALID',
    where: 'pipeline[0].name',
    exit: 2,
  },
  {
    what: 'a variable that is not set',
    config: 'runDir: ${env:LF_NOT_SET}\n',
    code: 'LF_CONFIG_REFERENCE',
    where: 'largeforge.config.yaml:1:9: runDir',
    exit: 2,
  },
  {
    what: 'a missing ${file:}',
    config: 'runDir: ${file:nowhere.txt}\n',
    code: 'LF_CONFIG_REFERENCE',
    where: 'largeforge.config.yaml:1:9: runDir',
    exit: 2,
  },
  {
    what: 'an unknown reference',
    config: 'runDir: ${what:x}\n',
    code: 'LF_CONFIG_REFERENCE',
    where: 'largeforge.config.yaml:1:9: runDir',
    exit: 2,
  },
  {
    what: 'configs that extend in a circle',
    config: 'extends: ./b.yaml\n',
    files: { 'b.yaml': 'extends: ./largeforge.config.yaml\n' },
    code: 'LF_CONFIG_EXTENDS',
    where: 'circle',
    exit: 2,
  },
  {
    what: 'a missing base config',
    config: 'extends: ./b.yaml\n',
    code: 'LF_CONFIG_FILE_MISSING',
    where: 'b.yaml',
    exit: 2,
  },
  {
    what: 'a missing config file',
    line: 'inspect plugins -c none.yaml',
    code: 'LF_CONFIG_FILE_MISSING',
    where: 'none.yaml',
    exit: 2,
  },
  {
    what: 'two config files',
    config: '{}\n',
    files: { 'largeforge.config.yml': '{}\n' },
    code: 'LF_CONFIG_AMBIGUOUS',
    where: 'largeforge.config.yml',
    exit: 2,
  },
  {
    what: 'an unknown profile',
    config: '{}\n',
    line: 'run --profile big',
    code: 'LF_CONFIG_PROFILE',
    where: 'big',
    exit: 2,
  },
  {
    what: '--set without a value',
    config: '{}\n',
    line: 'run --set runDir',
    code: 'LF_CONFIG_SET',
    where: '--set runDir',
    exit: 2,
  },
  {
    what: '--set of an unknown key',
    config: '{}\n',
    line: 'run --set log.lvel=info',
    code: 'LF_CONFIG_INVALID',
    where: 'log.lvel',
    exit: 2,
  },
  {
    what: '--set of a wrong type',
    config: '{}\n',
    line: 'run --set runDir=[1]',
    code: 'LF_CONFIG_INVALID',
    where: 'runDir',
    exit: 2,
  },
  {
    what: 'a wrong override variable',
    config: '{}\n',
    env: { LARGEFORGE__log__level: 'loud' },
    code: 'LF_CONFIG_INVALID',
    where: 'LARGEFORGE__log__level',
    exit: 2,
  },
  {
    what: 'an unknown command',
    config: '{}\n',
    line: 'rnu',
    code: 'LF_CLI_USAGE',
    where: 'Did you mean "run"?',
    exit: 2,
  },
  {
    what: 'an unknown flag',
    config: '{}\n',
    line: 'run --forec',
    code: 'LF_CLI_USAGE',
    where: 'Did you mean "--force"?',
    exit: 2,
  },
  {
    what: 'an unknown log format',
    config: '{}\n',
    line: 'run --log xml',
    code: 'LF_CLI_USAGE',
    where: 'auto, pretty, json',
    exit: 2,
  },
  { what: 'an unknown shell', config: '{}\n', line: 'completion tcsh', code: 'LF_CLI_USAGE', where: 'bash', exit: 2 },
  {
    what: 'too many words',
    config: '{}\n',
    line: 'inspect plugins all',
    code: 'LF_CLI_USAGE',
    where: 'too many arguments',
    exit: 2,
  },
  {
    what: 'an unknown plugin',
    config: 'plugins: ["@largeforge/trainer-stf"]\n',
    code: 'LF_CONFIG_UNKNOWN_PLUGIN',
    where: 'largeforge.config.yaml:1:11: plugins[0]',
    exit: 2,
  },
  {
    what: 'a missing plugin file',
    config: own,
    code: 'LF_CONFIG_UNKNOWN_PLUGIN',
    where: 'largeforge.config.yaml:1:11: plugins[0]',
    exit: 2,
  },
  {
    what: 'a plugin file that exports nothing',
    config: own,
    files: { 'p.mjs': 'export const x = 1;\n' },
    code: 'LF_PLUGIN_INVALID',
    where: 'largeforge.config.yaml:1:11: plugins[0]',
    exit: 2,
  },
  {
    what: 'a plugin with bad syntax',
    config: own,
    files: { 'p.mjs': 'export default {{\n' },
    code: 'LF_PLUGIN_LOAD',
    where: 'largeforge.config.yaml:1:11: plugins[0]',
    exit: 1,
  },
  {
    what: 'a plugin of another API version',
    config: own,
    files: { 'p.mjs': plugin('').replace('apiVersion: 1', 'apiVersion: 99') },
    code: 'LF_PLUGIN_API',
    where: 'largeforge.config.yaml:1:11: plugins[0]',
    exit: 2,
  },
  {
    what: 'a plugin that throws in setup',
    config: own,
    files: { 'p.mjs': plugin('', "throw new Error('no luck');") },
    code: 'LF_HOOK_FAILED',
    where: 'largeforge.config.yaml:1:11: plugins[0]: [plugin p] setup: no luck',
    exit: 1,
  },
  {
    what: 'a plugin that needs another',
    config: own,
    files: { 'p.mjs': plugin("requires: { q: '^1.0.0' },") },
    code: 'LF_PLUGIN_MISSING',
    where: 'largeforge.config.yaml:1:11: plugins[0]',
    exit: 2,
  },
  {
    what: 'plugin options that nobody knows',
    config: "plugins: [['@largeforge/data', {fast: true}]]\n",
    code: 'LF_CONFIG_INVALID',
    where: 'fast',
    exit: 2,
  },
  {
    what: 'an unknown step type',
    config: sft('').replace('use: sft', 'use: stf'),
    code: 'LF_REGISTRY_UNKNOWN',
    where: 'largeforge.config.yaml:3:37: pipeline[0].use',
    exit: 2,
  },
  {
    what: 'an option that the step lacks',
    config: sft('model: m, dataset: d, epohcs: 3'),
    code: 'LF_CONFIG_INVALID',
    where: 'largeforge.config.yaml:3:71: pipeline[0] (sft).with.epohcs',
    exit: 2,
  },
  {
    what: 'a reference to an unknown step',
    config: sft('model: "${steps.none.model}", dataset: d'),
    code: 'LF_PIPELINE_REFERENCE',
    where: 'largeforge.config.yaml:3:56: pipeline[0] (sft).with.model',
    exit: 2,
  },
  {
    what: 'a step that refers to itself',
    config: sft('model: "${steps.tune.model}", dataset: d'),
    code: 'LF_PIPELINE_REFERENCE',
    where: 'largeforge.config.yaml:3:56: pipeline[0] (sft).with.model',
    exit: 2,
  },
  {
    what: '--from an unknown step',
    config: sft('model: m, dataset: d'),
    line: 'run --from tone',
    code: 'LF_PIPELINE_FROM',
    where: 'tone',
    exit: 2,
  },
  {
    what: 'a missing model',
    config: sft('model: ./none, dataset: d.jsonl'),
    files: { 'd.jsonl': '{"text":"a"}\n' },
    code: 'LF_ENGINE_MODEL_NOT_FOUND',
    where: 'none',
    exit: 2,
  },
  {
    what: 'a command without a flag that it needs',
    config: "plugins: ['@largeforge/server-openai']\n",
    line: 'serve',
    code: 'LF_CLI_USAGE',
    where: "required option '-m, --model <model>' not specified",
    exit: 2,
  },
  {
    what: 'a command without an argument that it needs',
    config: '{}\n',
    line: 'completion',
    code: 'LF_CLI_USAGE',
    where: "missing required argument 'shell'",
    exit: 2,
  },
  {
    what: 'an unknown backend',
    config: `backend: gpu\n${sft('model: ./none, dataset: d.jsonl')}`,
    code: 'LF_REGISTRY_UNKNOWN',
    where: 'largeforge.config.yaml:1:10: backend: there is no backend "gpu"',
    exit: 2,
  },
  {
    what: 'an empty pipeline',
    config: 'pipeline: []\n',
    code: 'LF_PIPELINE_EMPTY',
    where: 'largeforge.config.yaml has no pipeline',
    exit: 2,
  },
  {
    what: 'a config to init that is there',
    config: '{}\n',
    line: 'init --model m --data d --yes',
    code: 'LF_INIT_EXISTS',
    where: 'largeforge.config.yaml',
    exit: 2,
  },
];

const root = mkdtempSync(join(tmpdir(), 'largeforge-wrong-'));
const home = process.cwd();
afterAll(() => {
  process.chdir(home);
  rmSync(root, { recursive: true });
});

async function attempt(mistake: Wrong, index: number): Promise<{ exit: number; printed: string }> {
  const folder = join(root, String(index));
  const files = { ...mistake.files, ...(mistake.config && { 'largeforge.config.yaml': mistake.config }) };
  mkdirSync(folder);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  process.chdir(folder);
  let printed = '';
  const write = (text: unknown) => {
    printed += String(text);
    return true;
  };
  for (const [name, value] of Object.entries(mistake.env ?? {})) vi.stubEnv(name, value);
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(write));
  try {
    return { exit: await main((mistake.line ?? (mistake.env ? 'inspect plugins' : 'run')).split(' ')), printed };
  } finally {
    for (const spy of spies) spy.mockRestore();
    vi.unstubAllEnvs();
  }
}

it.each(wrong.map((mistake, index) => ({ ...mistake, index })))('$what', async ({ index, ...mistake }) => {
  const { exit, printed } = await attempt(mistake, index);
  expect(printed).toMatch(new RegExp(`^error ${mistake.code}: `, 'm'));
  expect(printed).toMatch(/^ {2}what to do: \S.{10}/m);
  expect(printed).toContain(mistake.where);
  expect(printed).not.toMatch(/^ {4}at /m);
  expect(exit).toBe(mistake.exit);
});
