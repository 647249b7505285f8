import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folderWith, load } from './config.fixture.js';
import { describeConfig } from './describe.js';
import { findConfigFile, loadConfig } from './load.js';

const minimal = 'log: {level: warn}\n';

describe('finding a config', () => {
  it.each(['yaml', 'yml', 'json', 'ts', 'mjs'])('takes largeforge.config.%s', async (extension) => {
    const content = {
      yaml: minimal,
      yml: minimal,
      json: '{"log": {"level": "warn"}}',
      ts: 'const level: string = "warn"; export default { log: { level } };',
      mjs: 'export default ({ env }) => ({ log: { level: env.LEVEL } });',
    }[extension]!;
    const config = await load({ [`largeforge.config.${extension}`]: content }, { env: { LEVEL: 'warn' } });
    expect(config.root.log.level).toBe('warn');
    expect(config.file).toMatch(new RegExp(`largeforge\\.config\\.${extension}$`));
  });

  it('looks in the folders above, up to the one with a package.json', async () => {
    const folder = folderWith({
      'largeforge.config.yaml': minimal,
      'a/b/x': '',
      'project/package.json': '{}',
      'project/src/x': '',
    });
    expect(await findConfigFile(join(folder, 'a/b'))).toBe(join(folder, 'largeforge.config.yaml'));
    expect(await findConfigFile(join(folder, 'project/src'))).toBeUndefined();
  });

  it('takes an empty file as a config, and one that is named whatever it is called', async () => {
    expect((await load('')).root).toMatchObject({ plugins: [], backend: 'auto', runDir: '.largeforge', pipeline: [] });
    expect((await load('# only a comment\n')).root.plugins).toEqual([]);
    const folder = folderWith({ 'deep/my.yml': minimal });
    const config = await loadConfig({ cwd: folder, file: 'deep/my.yml', env: {} });
    expect(config).toMatchObject({ file: join(folder, 'deep/my.yml'), baseDir: join(folder, 'deep') });
  });

  it('applies the built-in config when there is no file', async () => {
    const config = await load({}, { builtIn: { plugins: ['@largeforge/data'] } });
    expect(config.file).toBeUndefined();
    expect(config.root.plugins).toEqual(['@largeforge/data']);
    expect(config.sourceOf(['plugins', 0])).toBe('built-in config');
    expect(config.baseDir).toBe(config.cwd);
  });
});

describe('layers', () => {
  const files = {
    'largeforge.config.yaml': `
extends: [./base/one.yaml, ./base/two.json]
log: {level: error}
plugins:
  - a
  - [b, {port: 8000, limits: {queue: 4}}]
pipeline:
  - {name: tune, stage: train, use: sft, with: {epochs: 3, lora: {r: 16}}}
profiles:
  small:
    log: {format: json}
    pipeline: {tune: {with: {epochs: 1}}}
    plugins: {b: {limits: {queue: 1}}, a: {on: true}}
`,
    'base/one.yaml': 'runDir: one\nbackend: {name: cpu, threads: 2}\nprofiles: {small: {runDir: tiny}}\n',
    'base/two.json': '{"runDir": "two", "log": {"level": "debug", "format": "pretty"}}',
  };

  it('are merged in order: extended files, the file, the profile, the environment, --set', async () => {
    const plain = (await load(files)).root;
    expect(plain).toMatchObject({
      runDir: 'two',
      backend: { name: 'cpu', threads: 2 },
      log: { level: 'error', format: 'pretty' },
    });
    const env = { LARGEFORGE__log__level: 'warn', LARGEFORGE__runDir: 'env' };
    const all = (await load(files, { profile: 'small', env, set: ['runDir=set', 'backend.threads=8'] })).root;
    expect(all).toMatchObject({
      runDir: 'set',
      backend: { name: 'cpu', threads: 8 },
      log: { level: 'warn', format: 'json' },
    });
  });

  it('change entries of lists by name or position; any other list is replaced', async () => {
    const { root } = await load(files, {
      profile: 'small',
      set: ['pipeline.tune.with.lora.r=4', 'plugins[1][1].port=9000', 'pipeline[0].with.lora.alpha=[1, 2]'],
    });
    expect(root.pipeline[0]!.with).toEqual({ epochs: 1, lora: { r: 4, alpha: [1, 2] } });
    expect(root.plugins).toEqual([
      ['a', { on: true }],
      ['b', { port: 9000, limits: { queue: 1 } }],
    ]);
    const replaced = await load('plugins: [a, b]\nprofiles: {p: {plugins: [c]}}\n', { profile: 'p' });
    expect(replaced.root.plugins).toEqual(['c']);
  });

  it('can append to a list by its next position', async () => {
    const { root } = await load('plugins: [a]\n', { set: ['plugins[1]=b'], env: { LARGEFORGE__plugins__2: 'c' } })
      .then((config) => config)
      .catch((error: Error) => ({ root: error.message }));
    expect(root).toContain('LARGEFORGE__plugins__2: plugins[2]: the list has 1 entries');
    expect((await load('plugins: [a]\n', { set: ['plugins[1]=b'] })).root.plugins).toEqual(['a', 'b']);
  });

  it('know the source of every value', async () => {
    const config = await load(files, {
      profile: 'small',
      env: { LARGEFORGE__backend__threads: '4' },
      set: ['pipeline.tune.with.epochs=2'],
    });
    const sources = Object.fromEntries((await describeConfig(config)).map(({ path, source }) => [path, source]));
    expect(sources).toEqual({
      'plugins[0]': 'largeforge.config.yaml:5:5',
      'plugins[0] (a).on': 'largeforge.config.yaml:13:48 (profile small)',
      'plugins[1]': 'largeforge.config.yaml:6:6',
      'plugins[1] (b).port': 'largeforge.config.yaml:6:16',
      'plugins[1] (b).limits.queue': 'largeforge.config.yaml:13:35 (profile small)',
      'pipeline[0].name': 'largeforge.config.yaml:8:12',
      'pipeline[0].stage': 'largeforge.config.yaml:8:25',
      'pipeline[0].use': 'largeforge.config.yaml:8:37',
      'pipeline[0].with.epochs': '--set pipeline.tune.with.epochs',
      'pipeline[0].with.lora.r': 'largeforge.config.yaml:8:70',
      'log.level': 'largeforge.config.yaml:3:14',
      'log.format': 'largeforge.config.yaml:11:19 (profile small)',
      runDir: 'base/one.yaml:3:28 (profile small)',
      'backend.name': 'base/one.yaml:2:17',
      'backend.threads': 'LARGEFORGE__backend__threads',
    });
    expect(config.files.map((file) => file.slice(config.cwd.length + 1))).toEqual([
      'base/one.yaml',
      'base/two.json',
      'largeforge.config.yaml',
    ]);
    expect(config.sourceOf(['nothing', 'here'])).toBe('default');
  });

  it('show defaults as what they are', async () => {
    const entries = describeConfig(await load('runDir: here\n'));
    expect(entries).toContainEqual({ path: 'log.level', value: 'info', source: 'default', secret: false });
    expect(entries).toContainEqual({ path: 'plugins', value: '[]', source: 'default', secret: false });
    expect(entries).toContainEqual({
      path: 'runDir',
      value: 'here',
      source: 'largeforge.config.yaml:1:9',
      secret: false,
    });
  });
});

describe('text that means a number', () => {
  it('is read as the schema wants it, wherever it comes from', async () => {
    const yaml = 'backend: {name: cpu, threads: "${env:THREADS:-2}"}\nrunDir: runs\n';
    expect((await load(yaml)).root.backend).toEqual({ name: 'cpu', threads: 2 });
    const env = { THREADS: '6', LARGEFORGE__runDir: '123' };
    const { root } = await load(yaml, { env, set: ['backend.name=007'] });
    expect(root).toMatchObject({ backend: { name: '007', threads: 6 }, runDir: '123' });
  });

  it('is not guessed at in a file: quotes mean text', async () => {
    await expect(load('backend: {name: cpu, threads: "2"}\n')).rejects.toThrow(
      'largeforge.config.yaml:1:31: backend.threads: expected a whole number, found the string "2"',
    );
  });
});

describe('references', () => {
  it('take the environment, with a default for what is unset or empty, and files', async () => {
    const { root } = await load(
      {
        'largeforge.config.yaml':
          'extends: sub/base.yaml\npipeline:\n  - name: a\n    stage: train\n    use: sft\n    with:\n      a: ${env:A}\n      b: x-${env:B:-y}-${env:C:-${env:A}z}\n      c: "${file:note.txt}"\n      d: $${env:A} costs $5\n      e: "${steps.x.y}"\n',
        'note.txt': 'two\nlines\n',
        'sub/base.yaml': 'runDir: "${file:./dir.txt}"\n',
        'sub/dir.txt': 'from-sub',
      },
      { env: { A: '1', B: '' } },
    );
    expect(root.runDir).toBe('from-sub');
    expect(root.pipeline[0]!.with).toEqual({
      a: '1',
      b: 'x-y-1z',
      c: 'two\nlines',
      // The pipeline itself turns $${ into ${, when it has replaced its own references.
      d: '$${env:A} costs $5',
      e: '${steps.x.y}',
    });
    expect((await load('runDir: $${HOME}/x\n')).root.runDir).toBe('${HOME}/x');
  });

  it('are left alone in a profile that is not applied', async () => {
    const yaml = 'profiles: {other: {runDir: "${env:UNSET}"}}\n';
    expect((await load(yaml)).root.runDir).toBe('.largeforge');
    await expect(load(yaml, { profile: 'other' })).rejects.toThrow('the environment has no UNSET');
  });

  it('count the files they read among the config files, so that a reload follows them', async () => {
    const config = await load({ 'largeforge.config.yaml': 'runDir: ${file:dir.txt}\n', 'dir.txt': 'x' });
    expect(config.files.at(-1)).toBe(join(config.cwd, 'dir.txt'));
  });
});

describe('YAML', () => {
  it('has no key that reaches into the program', async () => {
    for (const yaml of ['__proto__: {a: 1}\n', 'log: {__proto__: {level: debug}}\n', 'constructor: {}\n']) {
      await expect(load(yaml)).rejects.toThrow('unknown key');
    }
    expect(({} as { a?: number }).a).toBeUndefined();
  });

  it('whatever is in it, is a config or an error of the table', async () => {
    const words = [
      'plugins',
      'log',
      ': ',
      '\n',
      '  ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      '&a ',
      '*a',
      '"',
      "'",
      '${env:A}',
      '${',
      '!!x ',
      '<<',
      '#',
      '|',
      '? ',
      '\t',
      '0',
      '~',
      'pipeline',
      'name',
    ];
    let state = 12345;
    const random = (n: number) => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return Math.floor((state / 2147483648) * n);
    };
    const folder = folderWith({});
    for (let i = 0; i < 300; i++) {
      const text = Array.from({ length: 1 + random(14) }, () => words[random(words.length)]).join('');
      writeFileSync(join(folder, 'largeforge.config.yaml'), text);
      const result = await loadConfig({ cwd: folder, env: { A: 'x' } }).catch((error: { code?: string }) => error);
      if (!('root' in result)) expect(result.code, text).toMatch(/^LF_CONFIG_/);
    }
  });

  it('may use anchors, merge keys and several lines', async () => {
    const { root } = await load(`
pipeline:
  - name: a
    stage: train
    use: sft
    with: &common {epochs: 2, text: "x"}
  - name: b
    stage: train
    use: sft
    with:
      <<: *common
      epochs: 3
  - name: c
    stage: train
    use: sft
    with: *common
`);
    expect(root.pipeline.map((step) => step.with)).toEqual([
      { epochs: 2, text: 'x' },
      { epochs: 3, text: 'x' },
      { epochs: 2, text: 'x' },
    ]);
  });

  it('reads yes and no as the words they are', async () => {
    await expect(load('pipeline: no\n')).rejects.toThrow('pipeline: expected a list, found the string "no"');
  });
});

describe('a config that is a program', () => {
  it('may list plugins themselves, and gets environment and profile', async () => {
    const { root } = await load(
      {
        'largeforge.config.mjs': `
          const plugin = { name: 'inline', version: '1.0.0', apiVersion: 1, options: {}, setup() {} };
          export default async ({ env, profile }) => ({
            plugins: [plugin, [plugin, { a: 1 }]], runDir: env.DIR + profile, profiles: { p: {} } });`,
      },
      { env: { DIR: 'd-' }, profile: 'p' },
    );
    expect(root.runDir).toBe('d-p');
    expect(root.plugins[0]).toMatchObject({ name: 'inline' });
    expect(root.plugins[1]).toMatchObject([{ name: 'inline' }, { a: 1 }]);
  });

  it('is read again when it has changed', async () => {
    const folder = folderWith({ 'largeforge.config.mjs': 'export default { runDir: "one" };' });
    expect((await loadConfig({ cwd: folder, env: {} })).root.runDir).toBe('one');
    writeFileSync(join(folder, 'largeforge.config.mjs'), 'export default { runDir: "two" };');
    expect((await loadConfig({ cwd: folder, env: {} })).root.runDir).toBe('two');
  });
});
