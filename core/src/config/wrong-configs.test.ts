import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Files, failure, folderWith, load } from './config.fixture.js';
import { type LoadOptions, loadConfig } from './load.js';

interface Wrong {
  readonly what: string;
  readonly files: Files | string;
  readonly options?: LoadOptions;
  readonly code: string;
  readonly message: string;
}

const step = 'pipeline:\n  - name: tune\n    stage: train\n    use: sft\n';

const wrong: readonly Wrong[] = [
  {
    what: 'a tab as indentation',
    files: 'log:\n\tlevel: info\n',
    code: 'LF_CONFIG_SYNTAX',
    message: 'largeforge.config.yaml:2:1: bad YAML: Tabs are not allowed as indentation',
  },
  {
    what: 'a bracket that is not closed',
    files: 'plugins: [a, b\nrunDir: x\n',
    code: 'LF_CONFIG_SYNTAX',
    message:
      'largeforge.config.yaml:2:1: bad YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
  },
  {
    what: 'the same key twice',
    files: 'runDir: a\nlog: {}\nrunDir: b\n',
    code: 'LF_CONFIG_SYNTAX',
    message: 'largeforge.config.yaml:3:1: bad YAML: Map keys must be unique',
  },
  {
    what: 'an alias without an anchor',
    files: 'log: *nothing\n',
    code: 'LF_CONFIG_SYNTAX',
    message: 'largeforge.config.yaml:1:6: bad YAML: there is no anchor &nothing before this alias',
  },
  {
    what: 'an alias within its own anchor',
    files: 'log: &a {level: *a}\n',
    code: 'LF_CONFIG_SYNTAX',
    message: 'largeforge.config.yaml:1:17: bad YAML: the alias *a refers to itself',
  },
  {
    what: 'aliases that multiply',
    files: `a: &a [x,x,x,x,x,x,x,x,x,x]\n${['b', 'c', 'd', 'e', 'f', 'g']
      .map((name, i) => `${name}: &${name} [${Array(10).fill(`*${'abcdef'[i]}`).join(',')}]`)
      .join('\n')}\n`,
    code: 'LF_CONFIG_SYNTAX',
    message: 'largeforge.config.yaml:1:24: bad YAML: more than 100000 values',
  },
  {
    what: 'bad JSON',
    files: { 'largeforge.config.json': '{\n  "runDir": here\n}' },
    code: 'LF_CONFIG_SYNTAX',
    message: 'largeforge.config.json:2:13: bad JSON: Unresolved plain scalar "here"',
  },
  {
    what: 'a list instead of a map',
    files: '- a\n- b\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:1:1: (top level): expected a map of settings, found a list',
  },
  {
    what: 'only a word',
    files: 'hello\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:1:1: (top level): expected a map of settings, found the string "hello"',
  },
  {
    what: 'an unknown key',
    files: 'log: {}\npluggins: []\n',
    code: 'LF_CONFIG_INVALID',
    message:
      'largeforge.config.yaml:2:1: pluggins: unknown key. Did you mean "plugins"? Known: plugins, backend, log, runDir, pipeline',
  },
  {
    what: 'an unknown key further down',
    files: `${step}    wiht: {epochs: 1}\n`,
    code: 'LF_CONFIG_INVALID',
    message:
      'largeforge.config.yaml:5:5: pipeline[0].wiht: unknown key. Did you mean "with"? Known: name, stage, use, with',
  },
  {
    what: 'a value of the wrong kind',
    files: 'runDir: 5\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:1:9: runDir: expected a string, found the number 5',
  },
  {
    what: 'a map instead of a list',
    files: 'plugins:\n  data: {}\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:2:3: plugins: expected a list, found a map of data',
  },
  {
    what: 'nothing where a map is wanted',
    files: 'log:\nrunDir: x\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:1:5: log: expected a map, found nothing',
  },
  {
    what: 'a word that is none of the choices',
    files: 'log:\n  level: inof\n',
    code: 'LF_CONFIG_INVALID',
    message:
      'largeforge.config.yaml:2:10: log.level: expected "trace" or "debug" or "info" or "warn" or "error" or "fatal" or "silent", found the string "inof". Did you mean "info"?',
  },
  {
    what: 'a missing key',
    files: 'pipeline:\n  - name: tune\n    use: sft\n',
    code: 'LF_CONFIG_INVALID',
    message:
      'largeforge.config.yaml:2:5: pipeline[0].stage: missing: expected "data" or "train" or "optimize" or "evaluate" or "serve"',
  },
  {
    what: 'a number out of range',
    files: 'backend: {name: cpu, threads: 0}\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:1:31: backend.threads: expected more than 0, found the number 0',
  },
  {
    what: 'a fraction for a count',
    files: 'backend: {name: cpu, threads: 1.5}\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:1:31: backend.threads: expected a whole number, found the number 1.5',
  },
  {
    what: 'an unknown key within one of several forms',
    files: 'backend: {nmae: cpu}\n',
    code: 'LF_CONFIG_INVALID',
    message:
      'largeforge.config.yaml:1:11: backend.nmae: unknown key. Did you mean "name"? Known: name, threads, device',
  },
  {
    what: 'a value that fits none of several forms',
    files: 'backend: 7\n',
    code: 'LF_CONFIG_INVALID',
    message:
      'largeforge.config.yaml:1:10: backend: expected "auto", the name of a backend, or {name, threads, device}, found the number 7',
  },
  {
    what: 'a plugin entry with options that are no map',
    files: 'plugins:\n  - [a, 5]\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:2:9: plugins[0][1]: expected a map, found the number 5',
  },
  {
    what: 'an empty name',
    files: 'runDir: ""\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:1:9: runDir: expected at least 1 characters, found the string ""',
  },
  {
    what: 'a bad step name',
    files: 'pipeline:\n  - {name: "my step", stage: train, use: sft}\n',
    code: 'LF_CONFIG_INVALID',
    message:
      'largeforge.config.yaml:2:12: pipeline[0].name: expected a name of letters, digits, "-" and "_" that starts with a letter, found the string "my step"',
  },
  {
    what: 'two steps of one name',
    files: `${step}  - {name: tune, stage: train, use: sft}\n`,
    code: 'LF_CONFIG_INVALID',
    message:
      'largeforge.config.yaml:5:12: pipeline[1].name: expected a name of its own (pipeline[0] has it already), found the string "tune"',
  },
  {
    what: 'several things at once: all are said',
    files: 'runDir: 5\nlogg: {}\nbackend: {name: cpu, threads: x}\n',
    code: 'LF_CONFIG_INVALID',
    message: `largeforge.config.yaml:1:9: runDir: expected a string, found the number 5
largeforge.config.yaml:2:1: logg: unknown key. Did you mean "log"? Known: plugins, backend, log, runDir, pipeline
largeforge.config.yaml:3:31: backend.threads: expected a whole number, found the string "x"`,
  },
  {
    what: 'a profile that does not exist',
    files: 'profiles: {small: {}, large: {}}\n',
    options: { profile: 'smal' },
    code: 'LF_CONFIG_PROFILE',
    message: 'there is no profile "smal". Did you mean "small"?',
  },
  {
    what: 'a profile that is no map',
    files: 'profiles:\n  small: 5\n',
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:2:10: profiles.small: expected a map, found the number 5',
  },
  {
    what: 'a profile that changes an unknown step',
    files: `${step}profiles:\n  small:\n    pipeline: {tnue: {with: {epochs: 1}}}\n`,
    options: { profile: 'small' },
    code: 'LF_CONFIG_OVERRIDE',
    message:
      'largeforge.config.yaml:7:16: pipeline.tnue: the list has no entry of this name. Did you mean "tune"? It has: tune',
  },
  {
    what: 'a wrong value in a profile',
    files: 'profiles:\n  small:\n    runDir: 5\n',
    options: { profile: 'small' },
    code: 'LF_CONFIG_INVALID',
    message: 'largeforge.config.yaml:3:13: runDir: expected a string, found the number 5',
  },
  {
    what: 'an extended file that is not there',
    files: { 'largeforge.config.yaml': 'extends: ./bsae.yaml\n', 'base.yaml': '' },
    code: 'LF_CONFIG_FILE_MISSING',
    message: 'largeforge.config.yaml:1:10: extends: there is no config file ./bsae.yaml. Did you mean "./base.yaml"?',
  },
  {
    what: 'files that extend each other',
    files: {
      'largeforge.config.yaml': 'extends: a.yaml\n',
      'a.yaml': 'runDir: x\nextends: [b.yaml]\n',
      'b.yaml': 'extends: largeforge.config.yaml\n',
    },
    code: 'LF_CONFIG_EXTENDS',
    message:
      'b.yaml:1:10: extends: these files extend each other in a circle: largeforge.config.yaml -> a.yaml -> b.yaml -> largeforge.config.yaml',
  },
  {
    what: 'extends that is no path',
    files: 'extends: [5]\n',
    code: 'LF_CONFIG_EXTENDS',
    message: 'largeforge.config.yaml:1:11: extends: expected a path, found 5',
  },
  {
    what: 'a mistake in an extended file',
    files: { 'largeforge.config.yaml': 'extends: sub/a.yaml\n', 'sub/a.yaml': '\n\nrunDir: 5\n' },
    code: 'LF_CONFIG_INVALID',
    message: 'sub/a.yaml:3:9: runDir: expected a string, found the number 5',
  },
  {
    what: 'a variable that is not set',
    files: 'log: {}\nrunDir: "${env:RUN_DRI}"\n',
    options: { env: { RUN_DIR: 'x' } },
    code: 'LF_CONFIG_REFERENCE',
    message:
      'largeforge.config.yaml:2:9: runDir: ${env:RUN_DRI}: the environment has no RUN_DRI. Did you mean "RUN_DIR"?',
  },
  {
    what: 'a shell variable',
    files: 'runDir: ${HOME}/runs\n',
    code: 'LF_CONFIG_REFERENCE',
    message:
      'largeforge.config.yaml:1:9: runDir: ${HOME}: a reference is ${env:NAME}, ${file:path} or ${steps.NAME.KEY}. Did you mean "${env:HOME}"?',
  },
  {
    what: 'an unknown kind of reference',
    files: 'runDir: ${evn:HOME}\n',
    code: 'LF_CONFIG_REFERENCE',
    message:
      'largeforge.config.yaml:1:9: runDir: ${evn:HOME}: a reference is ${env:NAME}, ${file:path} or ${steps.NAME.KEY}. Did you mean "env"?',
  },
  {
    what: 'a reference that is not closed',
    files: 'runDir: x${env:HOME\n',
    code: 'LF_CONFIG_REFERENCE',
    message: 'largeforge.config.yaml:1:9: runDir: ${env:HOME: the closing } is missing',
  },
  {
    what: 'an output of a step where none can be used',
    files: 'runDir: ${steps.tune.model}\n',
    code: 'LF_CONFIG_REFERENCE',
    message:
      'largeforge.config.yaml:1:9: runDir: ${steps.tune.model}: outputs of steps can be used in the `with` of later steps only',
  },
  {
    what: '--set without a value',
    files: '',
    options: { set: ['log.level'] },
    code: 'LF_CONFIG_SET',
    message: '--set log.level: expected path=value',
  },
  {
    what: '--set with a path that is none',
    files: '',
    options: { set: ['log..level=debug'] },
    code: 'LF_CONFIG_SET',
    message: '--set log..level: "log..level" is no path of keys and positions',
  },
  {
    what: '--set of an unknown key',
    files: '',
    options: { set: ['log.levle=debug'] },
    code: 'LF_CONFIG_INVALID',
    message: '--set log.levle: log.levle: unknown key. Did you mean "level"? Known: level, format',
  },
  {
    what: '--set of a wrong value',
    files: '',
    options: { set: ['log.level=loud'] },
    code: 'LF_CONFIG_INVALID',
    message:
      '--set log.level: log.level: expected "trace" or "debug" or "info" or "warn" or "error" or "fatal" or "silent", found the string "loud"',
  },
  {
    what: '--set of a position that is not there',
    files: 'plugins: [a]\n',
    options: { set: ['plugins[3]=b'] },
    code: 'LF_CONFIG_OVERRIDE',
    message: '--set plugins[3]: plugins[3]: the list has 1 entries',
  },
  {
    what: '--set of a key of a list that has no names',
    files: `${step}    with: {targets: [a]}\n`,
    options: { set: ['pipeline.tune.with.targets.a=b'] },
    code: 'LF_CONFIG_OVERRIDE',
    message:
      '--set pipeline.tune.with.targets.a: pipeline[0].with.targets.a: this is a list: say which entry by its position',
  },
  {
    what: 'a variable that overrides an unknown key',
    files: '',
    options: { env: { LARGEFORGE__LOG__level: 'debug' } },
    code: 'LF_CONFIG_INVALID',
    message:
      'LARGEFORGE__LOG__level: LOG: unknown key. Did you mean "log"? Known: plugins, backend, log, runDir, pipeline',
  },
  {
    what: 'a variable with a gap',
    files: '',
    options: { env: { LARGEFORGE__log____level: 'debug' } },
    code: 'LF_CONFIG_SET',
    message: 'LARGEFORGE__log____level: a name is missing between two "__"',
  },
  {
    what: 'a named file that is not there',
    files: { 'my.yaml': '' },
    options: { file: 'my.yml' },
    code: 'LF_CONFIG_FILE_MISSING',
    message: 'there is no config file my.yml. Did you mean "my.yaml"?',
  },
  {
    what: 'a file of another kind',
    files: { 'my.toml': '' },
    options: { file: 'my.toml' },
    code: 'LF_CONFIG_READ',
    message: 'my.toml could not be read: the extension ".toml" is none of .yaml .yml .json .ts .mjs',
  },
  {
    what: 'a folder instead of a file',
    files: { 'my.yaml/x': '' },
    options: { file: 'my.yaml' },
    code: 'LF_CONFIG_READ',
    message: 'my.yaml could not be read: it is a folder',
  },
  {
    what: 'a program that throws',
    files: { 'largeforge.config.mjs': 'throw new Error("no token");' },
    code: 'LF_CONFIG_READ',
    message: 'largeforge.config.mjs:1:7 could not be read: no token',
  },
  {
    what: 'two configs in one folder',
    files: { 'largeforge.config.yaml': '', 'largeforge.config.json': '{}' },
    code: 'LF_CONFIG_AMBIGUOUS',
    message: 'has largeforge.config.yaml, largeforge.config.json: which one holds?',
  },
];

describe('a config with a mistake: the place, what is expected, what is found', () => {
  it.each(wrong)('$what', async ({ files, options, code, message }) => {
    const error = await failure(load(files, options));
    expect(error.message).toContain(message);
    if (code !== 'LF_CONFIG_AMBIGUOUS') expect(error.message).toBe(message);
    expect(error).toMatchObject({ code, exitCode: 2 });
    expect(error.remedy.length).toBeGreaterThan(20);
  });

  it('a file that is no text, and one that may not be read', async () => {
    const folder = folderWith({ 'secret.yaml': 'a' });
    writeFileSync(join(folder, 'binary.yaml'), Buffer.from([0xff, 0xfe, 0x00]));
    const read = (file: string) => failure(loadConfig({ cwd: folder, file, env: {} }));
    expect((await read('binary.yaml')).message).toBe('binary.yaml could not be read: it is not UTF-8 text');
    if (process.getuid?.() === 0) return; // root may read everything
    chmodSync(join(folder, 'secret.yaml'), 0);
    expect((await read('secret.yaml')).message).toBe('secret.yaml could not be read: you may not read it');
  });

  it('a file that a reference names and that is not there', async () => {
    const error = await failure(load('runDir: ${file:gone.txt}\n'));
    expect(error.message).toMatch(
      /^largeforge.config.yaml:1:9: runDir: \$\{file:gone.txt\}: there is no file .*gone.txt$/,
    );
  });

  it('more nesting than anything needs', async () => {
    const error = await failure(load(`a: ${'['.repeat(200)}${']'.repeat(200)}\n`));
    expect(error.message).toMatch(/bad YAML: nested deeper than 64$/);
  });
});
