import { readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { bootWith } from '../application/application.fixture.js';
import { failure, folderWith, write } from '../config/config.fixture.js';
import { makeToy, type Toy } from './pipeline.fixture.js';
import type { PipelineOptions } from './run.js';

const config = (text = 'hello', extra = '') => `
plugins: [toy]
pipeline:
  - name: first
    stage: train
    use: copy
    with: {text: ${text}, data: [data.txt, more.txt]}
  - name: measure
    stage: evaluate
    use: length
    with: {file: '\${steps.first.file}'}
${extra}`;

const files = (yaml = config()) => ({ 'largeforge.config.yaml': yaml, 'data.txt': 'data', 'more.txt': 'plain' });

/** Boots a new process, as it were, on the same folder, and runs its pipeline. */
async function run(folder: string, toy: Toy, options: PipelineOptions & { signal?: AbortSignal } = {}) {
  toy.ran.length = 0;
  const { signal, ...rest } = options;
  const booted = await bootWith('', { folder, known: [toy.plugin], signal });
  try {
    return { ...booted, outcome: await booted.application.runPipeline(rest) };
  } finally {
    await booted.application.close();
  }
}

const project = (yaml?: string) => folderWith(files(yaml));

describe('a pipeline', () => {
  it('runs its steps in order, replacing references by outputs of any type', async () => {
    const toy = makeToy();
    const folder = project(
      config(
        '"a b"',
        `  - name: second
    stage: train
    use: copy
    with: {text: "\${steps.measure.length} of \${steps.first.details.words} $\${x}", times: '\${steps.measure.length}'}`,
      ),
    );
    const { outcome, events } = await run(folder, toy);
    expect(toy.ran).toEqual(['first', 'measure', 'second']);
    expect(outcome.ran).toEqual(['first', 'measure', 'second']);
    expect(outcome.outputs.get('measure')).toEqual({ length: 'a b|data|plain'.length });
    const content = readFileSync(outcome.outputs.get('second')!.file as string, 'utf8');
    expect(content).toBe('14 of ["a","b|data|plain"] ${x}'.repeat(14));
    expect(events.filter(({ type }) => type !== 'log').map((event) => event.type)).toEqual([
      'pipeline.started',
      'step.started',
      'step.finished',
      'step.started',
      'step.finished',
      'step.started',
      'step.finished',
      'pipeline.finished',
    ]);
  });

  it("fires each stage's hooks around its runner", async () => {
    const toy = makeToy();
    const folder = project(`
plugins: [toy]
pipeline:
  - {name: d, stage: data, use: note}
  - {name: t, stage: train, use: copy, with: {text: x}}
  - {name: o, stage: optimize, use: double, with: {file: '\${steps.t.file}'}}
  - {name: e, stage: evaluate, use: length, with: {file: '\${steps.o.file}'}}
`);
    toy.during = async (context) => {
      const step = { step: 1, totalSteps: 1, epoch: 1, loss: 1, learningRate: 1, gradNorm: 1, tokensPerSecond: 1 };
      context.hooks.step.fire({ ...step, etaSeconds: 0, memoryBytes: 0 });
      await context.hooks.checkpoint.fire({ step: 1, path: 'x' });
      await context.kernel.hooks.data.validate.fire({ source: 's', format: 'f', report: {} });
    };
    await run(folder, toy);
    expect(toy.hooks).toEqual([
      'config.resolve',
      'config.ready',
      'kernel.ready',
      'data.plan',
      'data.ready',
      'train.plan',
      'train.before',
      'train.step',
      'train.checkpoint',
      'data.validate',
      'train.after',
      'optimize.plan',
      'optimize.before',
      'optimize.after',
      'optimize.verify',
      'evaluate.plan',
      'evaluate.gate',
      'evaluate.report',
      'kernel.shutdown',
    ]);
  });

  it('lets a plan hook change the options, and checks them again', async () => {
    const toy = makeToy();
    const folder = project();
    const booted = await bootWith('', {
      folder,
      known: [
        {
          ...toy.plugin,
          setup: (context, options) => {
            context.hooks.train.plan.tap((plan) => ({ ...plan, options: { text: 'changed' } }));
            return toy.plugin.setup(context, options);
          },
        },
      ],
    });
    const { outputs } = await booted.application.runPipeline();
    expect(outputs.get('first')).toMatchObject({ size: 'changed'.length });
    const bad = await bootWith('', {
      folder: project(),
      known: [
        {
          ...toy.plugin,
          setup: (context, options) => {
            context.hooks.train.plan.tap((plan) => ({ ...plan, options: { txt: 'changed' } }));
            return toy.plugin.setup(context, options);
          },
        },
      ],
    });
    const error = await failure(bad.application.runPipeline());
    expect(error.message).toContain(
      'step "first": a plugin that taps train.plan made this: copy.text: missing: expected a string',
    );
  });

  it('stops at a gate with its reason, after the report; earlier results stay', async () => {
    const toy = makeToy();
    const folder = project(config('hi').replace('plugins: [toy]', 'plugins: [[toy, {minimum: 1000}]]'));
    const error = await failure(run(folder, toy));
    expect(error).toMatchObject({
      code: 'LF_STEP_REFUSED',
      message: 'step "measure" was stopped by evaluate.gate [plugin toy]: a length of 13 is below 1000',
      exitCode: 3,
      remedy: 'Write more.\nThen run the same command again: finished steps (first) are not repeated.',
    });
    expect(toy.hooks.slice(-3)).toEqual(['evaluate.gate', 'evaluate.report', 'kernel.shutdown']);
    await failure(run(folder, toy));
    expect(toy.ran).toEqual(['measure']);
  });

  it('keeps what was done when a step fails, names step and plugin, and says how to go on', async () => {
    const toy = makeToy();
    const folder = project(config('x', '  - {name: last, stage: train, use: copy, with: {text: y}}'));
    toy.during = (context) => {
      if (context.name === 'last') throw new Error('disk full');
    };
    const error = await failure(run(folder, toy));
    expect(error).toMatchObject({
      code: 'LF_STEP_FAILED',
      message: 'step "last": [plugin toy] disk full',
      remedy:
        '--debug shows the cause.\nThen run the same command again: finished steps (first, measure) are not repeated.',
    });
    toy.during = () => {};
    expect((await run(folder, toy)).outcome).toMatchObject({ ran: ['last'], skipped: ['first', 'measure'] });
    expect(toy.ran).toEqual(['last+']);
  });

  it('keeps code, remedy and exit code of an error that has them', async () => {
    const toy = makeToy();
    const own = { code: 'LF_DATA_NO_ROWS', remedy: 'Add rows.', exitCode: 9 };
    toy.during = () => {
      throw Object.assign(new Error('no rows'), own);
    };
    const error = await failure(run(project(), toy));
    expect(error).toMatchObject({ ...own, message: 'step "first": no rows' });
  });

  it.each([
    [() => 5, 'the outputs are no record'],
    [() => ({ a: { b: new Map() } }), 'the outputs have "a.b", which is no JSON value'],
    [() => ({ a: Number.NaN }), 'the outputs have "a", which is no JSON value'],
  ])('refuses outputs that cannot be written down (%#)', async (make, message) => {
    const { plugin } = makeToy();
    const odd = {
      ...plugin,
      setup: (context: Parameters<typeof plugin.setup>[0]) =>
        context.registries.trainer.add('copy', {
          load: () => ({ options: plugin.options, run: async () => make() }) as never,
        }),
    };
    const booted = await bootWith('plugins: [toy]\npipeline: [{name: a, stage: train, use: copy}]\n', {
      known: [odd as never],
    });
    const error = await failure(booted.application.runPipeline());
    expect(error.message).toBe(`step "a": [plugin toy] ${message}`);
  });
});

describe('a finished step', () => {
  const again = async (change: (folder: string) => void, options?: PipelineOptions, toy = makeToy()) => {
    const folder = project();
    await run(folder, toy);
    change(folder);
    const { outcome, events } = await run(folder, toy, options);
    return { ran: [...toy.ran], outcome, events };
  };

  it('is skipped when nothing has changed, and its outputs are still there to refer to', async () => {
    const { ran, outcome, events } = await again(() => {});
    expect(ran).toEqual([]);
    expect(outcome).toMatchObject({ ran: [], skipped: ['first', 'measure'] });
    expect(outcome.outputs.get('measure')).toEqual({ length: 'hello|data|plain'.length });
    expect(events).toContainEqual({
      type: 'step.skipped',
      step: 'first',
      reason: expect.stringMatching(/^nothing changed since 20/),
    });
  });

  it.each<[string, (folder: string) => void, string[]]>([
    ['its options change', (folder) => write(folder, files(config('other'))), ['first', 'measure']],
    ['the content of an input changes', (folder) => write(folder, { 'data.txt': 'atad' }), ['first', 'measure']],
    ['its output goes away', (folder) => rmSync(join(folder, '.largeforge/first/copy.txt')), ['first']],
    ['only the time of an input changes', (folder) => utimesSync(join(folder, 'data.txt'), 1, 1), []],
    [
      'an unrelated part of the config changes',
      (folder) => write(folder, files(`log: {level: warn}\n${config()}`)),
      [],
    ],
    [
      'a later step changes',
      (folder) => write(folder, files(config().replace('file: ', 'expected: 5, file: '))),
      ['measure'],
    ],
  ])('runs again only when it must: %s', async (_, change, expected) => {
    expect((await again(change)).ran).toEqual(expected);
  });

  it('runs again when the plugin has another version, or other options', async () => {
    const folder = project();
    await run(folder, makeToy('1.0.0'));
    const newer = makeToy('1.0.1');
    await run(folder, newer);
    expect(newer.ran).toEqual(['first', 'measure']);
    write(folder, files(config().replace('plugins: [toy]', 'plugins: [[toy, {minimum: 1}]]')));
    await run(folder, newer);
    expect(newer.ran).toEqual(['first', 'measure']);
  });

  it('runs again with force, from its beginning', async () => {
    expect((await again(() => {}, { force: true })).ran).toEqual(['first', 'measure']);
  });

  it('can be the one to start from: earlier ones are taken as they are', async () => {
    const { ran, outcome } = await again((folder) => write(folder, { 'data.txt': 'ignored' }), { from: 'measure' });
    expect(ran).toEqual(['measure']);
    expect(outcome.skipped).toEqual(['first']);
  });

  it('must have finished for --from, and the step must exist', async () => {
    const folder = project();
    const toy = makeToy();
    expect(await failure(run(folder, toy, { from: 'measure' }))).toMatchObject({
      code: 'LF_PIPELINE_FROM_UNFINISHED',
      message: '--from measure: step "first" comes earlier and has no results to go on from',
    });
    expect(await failure(run(folder, toy, { from: 'mesure' }))).toMatchObject({
      code: 'LF_PIPELINE_FROM',
      message: '--from: there is no step "mesure". Did you mean "measure"?',
    });
    expect(toy.ran).toEqual([]);
  });

  it('is forgotten with a clear message when the state file is damaged', async () => {
    const folder = project();
    const toy = makeToy();
    await run(folder, toy);
    const state = join(folder, '.largeforge/pipeline.json');
    writeFileSync(state, readFileSync(state, 'utf8').slice(0, 100));
    const { log } = await run(folder, toy);
    expect(toy.ran).toEqual(['first', 'measure']);
    expect(log.join()).toMatch(/pipeline\.json is damaged \(.*\): every step runs again; the file is kept as/);
    writeFileSync(state, '{"version": 1, "steps": {"first": {"hash": 5}}}');
    expect((await run(folder, toy)).log.join()).toContain('is damaged');
    await run(folder, toy);
    expect(toy.ran).toEqual([]);
  });

  it('is not one when it was killed: it goes on from where it was', async () => {
    const folder = project();
    const toy = makeToy();
    await run(folder, toy);
    const file = join(folder, '.largeforge/pipeline.json');
    const state = JSON.parse(readFileSync(file, 'utf8')) as { steps: Record<string, { status: string }> };
    state.steps.first!.status = 'running';
    writeFileSync(file, JSON.stringify(state));
    const { events } = await run(folder, toy);
    expect(toy.ran).toEqual(['first+']);
    expect(events.find(({ type }) => type === 'step.started')).toMatchObject({ resume: true });
    state.steps.first!.status = 'running';
    writeFileSync(file, JSON.stringify(state));
    await run(folder, toy, { force: true });
    expect(toy.ran).toEqual(['first', 'measure']);
    await run(folder, toy, { force: true, resume: true });
    expect(toy.ran).toEqual(['first+', 'measure+']);
  });

  it('is never a server', async () => {
    const toy = makeToy();
    const folder = project('plugins: [toy]\npipeline: [{name: serve, stage: serve, use: wait}]\n');
    for (let i = 0; i < 2; i++) {
      const controller = new AbortController();
      const started = setInterval(() => toy.ran.length > 0 && controller.abort(), 10);
      const { outcome } = await run(folder, toy, { signal: controller.signal });
      clearInterval(started);
      expect(outcome.ran).toEqual(['serve']);
    }
  });
});

describe('an interrupted run', () => {
  it('gives the step time to save, then says how to go on; the next run resumes it', async () => {
    const toy = makeToy();
    const folder = project(config('x', '  - {name: last, stage: train, use: copy, with: {text: y}}'));
    const controller = new AbortController();
    const saved: string[] = [];
    toy.during = async ({ name, signal }) => {
      if (name !== 'last') return;
      controller.abort(new DOMException('interrupted by SIGINT', 'AbortError'));
      expect(signal.aborted).toBe(true);
      await sleep(20);
      saved.push(name);
      throw signal.reason;
    };
    const error = await failure(run(folder, toy, { signal: controller.signal }));
    expect(error).toMatchObject({
      code: 'LF_PIPELINE_INTERRUPTED',
      message: 'interrupted during step "last"',
      exitCode: 130,
    });
    expect(saved).toEqual(['last']);
    toy.during = () => {};
    await run(folder, toy);
    expect(toy.ran).toEqual(['last+']);
  });

  it('keeps a step that finished all the same, and does not begin the next', async () => {
    const toy = makeToy();
    const folder = project();
    const controller = new AbortController();
    toy.during = () => controller.abort();
    const error = await failure(run(folder, toy, { signal: controller.signal }));
    expect(error.message).toBe('interrupted before step "measure"');
    toy.during = () => {};
    await run(folder, toy);
    expect(toy.ran).toEqual(['measure']);
  });

  it('tells a real failure while it saves from an interruption', async () => {
    const toy = makeToy();
    const controller = new AbortController();
    toy.during = () => {
      controller.abort();
      throw new Error('disk full');
    };
    const error = await failure(run(project(), toy, { signal: controller.signal }));
    expect(error).toMatchObject({ code: 'LF_STEP_FAILED', message: 'step "first": [plugin toy] disk full' });
  });

  it('stops at once at the second request, naming what it does not wait for', async () => {
    const toy = makeToy();
    const first = new AbortController();
    const second = new AbortController();
    toy.during = (context) => {
      first.abort();
      setTimeout(() => second.abort(), 20);
      return context.hooks.checkpoint.fire({ step: 1, path: 'x' });
    };
    const { plugin } = toy;
    const slow = {
      ...toy,
      plugin: {
        ...plugin,
        setup: (context: Parameters<typeof plugin.setup>[0], options: unknown) => {
          context.hooks.train.checkpoint.tap(() => new Promise<void>(() => {}));
          return plugin.setup(context, options as never);
        },
      },
    };
    const error = await failure(run(project(), slow, { signal: first.signal, stop: second.signal }));
    expect(error).toMatchObject({
      code: 'LF_PIPELINE_STOPPED',
      message: 'stopped during step "first" without waiting for it (busy: [plugin toy] train.checkpoint)',
      exitCode: 130,
    });
  });
});

describe('before anything runs', () => {
  const check = async (pipeline: string) => {
    const toy = makeToy();
    const { application } = await bootWith(`plugins: [toy]\npipeline:\n${pipeline}`, { known: [toy.plugin] });
    const error = await failure(application.runPipeline());
    expect(toy.ran).toEqual([]);
    return error;
  };
  const first = '  - {name: first, stage: train, use: copy, with: {text: x}}\n';

  it.each([
    [
      '  - {name: a, stage: train, use: cpoy}\n',
      'largeforge.config.yaml:3:34: pipeline[0].use: there is no trainer "cpoy". Did you mean "copy"?',
      'LF_REGISTRY_UNKNOWN',
    ],
    [
      `${first}  - name: b\n    stage: train\n    use: copy\n    with:\n      text: y\n      times: two\n`,
      'largeforge.config.yaml:9:14: pipeline[1] (copy).with.times: expected a whole number, found the string "two"',
      'LF_CONFIG_INVALID',
    ],
    [
      '  - {name: a, stage: train, use: copy, with: {txet: y}}\n',
      'largeforge.config.yaml:3:46: pipeline[0] (copy).with.text: missing: expected a string\n' +
        'largeforge.config.yaml:3:47: pipeline[0] (copy).with.txet: unknown key. Did you mean "text"? Known: text, data, times',
      'LF_CONFIG_INVALID',
    ],
    [
      "  - {name: a, stage: train, use: copy, with: {text: '${steps.frist.file}', txt: 1}}\n",
      'largeforge.config.yaml:3:53: pipeline[0] (copy).with.text: ${steps.frist.file}: there is no step "frist".',
      'LF_PIPELINE_REFERENCE',
    ],
    [
      `${first}  - {name: b, stage: train, use: copy, with: {text: '\${steps.frist.file}'}}\n`,
      'largeforge.config.yaml:4:53: pipeline[1] (copy).with.text: ${steps.frist.file}: there is no step "frist". Did you mean "first"?',
      'LF_PIPELINE_REFERENCE',
    ],
    [
      `${first}  - {name: b, stage: train, use: copy, with: {text: '\${steps.b.file}'}}\n`,
      'largeforge.config.yaml:4:53: pipeline[1] (copy).with.text: ${steps.b.file}: step "b" does not run before this one',
      'LF_PIPELINE_REFERENCE',
    ],
    [
      `${first}  - {name: b, stage: train, use: copy, with: {text: '\${steps.first.fiel}'}}\n`,
      'largeforge.config.yaml:4:53: pipeline[1] (copy).with.text: ${steps.first.fiel}: step "first" has no output "fiel". Did you mean "file"? It has: file, size, details',
      'LF_PIPELINE_REFERENCE',
    ],
    [
      `${first}  - {name: b, stage: train, use: copy, with: {text: '\${steps.first}'}}\n`,
      'largeforge.config.yaml:4:53: pipeline[1] (copy).with.text: ${steps.first}: a reference is ${steps.<name>.<output>}',
      'LF_PIPELINE_REFERENCE',
    ],
    [
      // A reference's type is not known yet, but an unknown key beside it is.
      `${first}  - {name: b, stage: train, use: copy, with: {text: y, times: '\${steps.first.size}', tmies: 1}}\n`,
      'largeforge.config.yaml:4:86: pipeline[1] (copy).with.tmies: unknown key. Did you mean "times"? Known: text, data, times',
      'LF_CONFIG_INVALID',
    ],
  ])('options and references are checked, with their place (%#)', async (pipeline, message, code) => {
    expect(await check(pipeline)).toMatchObject({ message, code, exitCode: 2 });
  });

  it('an empty pipeline is said to be one', async () => {
    const { application } = await bootWith('');
    expect(await failure(application.runPipeline())).toMatchObject({
      code: 'LF_PIPELINE_EMPTY',
      message: 'largeforge.config.yaml has no pipeline',
    });
  });

  it('a dry run checks everything and runs nothing', async () => {
    const toy = makeToy();
    const folder = project();
    const { outcome } = await run(folder, toy, { dryRun: true });
    expect(outcome).toMatchObject({ ran: [], skipped: [] });
    expect(toy.ran).toEqual([]);
  });

  it('a reference that turns out to be of the wrong type is refused when it is known', async () => {
    const toy = makeToy();
    const folder = project(
      config('x', "  - {name: c, stage: train, use: copy, with: {text: y, times: '${steps.first.file}'}}"),
    );
    const error = await failure(run(folder, toy));
    expect(error.message).toMatch(
      /^largeforge\.config\.yaml:12:63: pipeline\[2\] \(copy\)\.with\.times: expected a whole number, found the string ".*/,
    );
  });
});

describe('steps of a command', () => {
  it('run in the folder of the command, are not skipped, and leave no state', async () => {
    const toy = makeToy();
    const folder = folderWith({ 'sub/data.txt': 'here', 'largeforge.config.yaml': 'plugins: [toy]\n' });
    const booted = await bootWith('', { folder, cwd: join(folder, 'sub'), known: [toy.plugin] });
    const context = booted.application.commandContext();
    const step = { name: 'copy', stage: 'train' as const, use: 'copy', with: { text: 'x', data: ['data.txt'] } };
    for (let i = 0; i < 2; i++) {
      const { outputs } = await context.runSteps([step]);
      expect(readFileSync(outputs.get('copy')!.file as string, 'utf8')).toBe('x|here');
    }
    expect(toy.ran).toEqual(['copy', 'copy']);
    const error = await failure(context.runSteps([{ ...step, with: { txet: 'x' } }]));
    expect(error.message).toBe(
      'copy.text: missing: expected a string\ncopy.txet: unknown key. Did you mean "text"? Known: text, data, times',
    );
    toy.during = () => {
      throw new Error('no');
    };
    expect((await failure(context.runSteps([step]))).message).toBe('[plugin toy] no');
  });
});
