import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { definePlugin } from '@largeforge/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Evaluation, tinyBase } from '../evaluate.fixture.js';
import type { EvaluatedModel } from '../models/evaluated-model.js';
import { evaluateTask } from './evaluate-task.js';
import { Task } from './task.js';
import { taskConfig } from './task-config.js';

const questions = [
  { question: 'Which one is a fruit?', choices: { text: ['apple', 'lamp'], label: ['A', 'B'] }, answerKey: 'A' },
  {
    question: 'Which one gives light?',
    choices: { text: ['sofa', 'lamp', 'rug'], label: ['A', 'B', 'C'] },
    answerKey: 'B',
  },
  { question: 'Which one is "warm"?', choices: { text: ["it's ice", 'fire'], label: ['1', '2'] }, answerKey: '2' },
];

let evaluation: Evaluation;
beforeEach(async () => {
  evaluation = await Evaluation.start();
});
afterEach(() => evaluation[Symbol.asyncDispose]());

const run = (options: Record<string, unknown>) =>
  evaluation.run('tasks', { model: tinyBase, dtype: 'f32', ...options });
const json = (file: unknown) => JSON.parse(readFileSync(file as string, 'utf8'));
const samples = (outputs: Readonly<Record<string, unknown>>, task: string) =>
  readFileSync(join(dirname(outputs.results as string), `samples_${task}.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('multiple choice', () => {
  it('scores every choice after the same prompt, and reports in the shape of lm-evaluation-harness', async () => {
    const data = { arc_easy: evaluation.write('arc.jsonl', questions) };
    const outputs = await run({ tasks: 'arc_easy', data });
    const { results, 'n-samples': counts, 'n-shot': shots, intervals95 } = json(outputs.results);
    const own = samples(outputs, 'arc_easy');
    expect(own[2].arguments).toEqual([
      ['Question: Which one is "warm"?\nAnswer:', " it's ice"],
      ['Question: Which one is "warm"?\nAnswer:', ' fire'],
    ]);
    expect(own.map(({ target }) => target)).toEqual([0, 1, 1]);
    const right = own.filter(({ resps, target }) => {
      const values = resps.map(([[logLikelihood]]: [[number]]) => logLikelihood);
      expect(Math.max(...values)).toBeLessThan(0);
      return values.indexOf(Math.max(...values)) === target;
    }).length;
    expect(results.arc_easy['acc,none']).toBeCloseTo(right / 3, 10);
    expect(own.reduce((sum, { acc_norm }) => sum + acc_norm, 0) / 3).toBeCloseTo(results.arc_easy['acc_norm,none'], 10);
    expect(intervals95.arc_easy['acc,none'][1]).toBeGreaterThan(results.arc_easy['acc,none']);
    expect(counts.arc_easy).toEqual({ original: 3, effective: 3 });
    expect(shots.arc_easy).toBe(0);
    expect(outputs.accuracy).toBe(results.arc_easy['acc,none']);
    expect(evaluation.test.eventsOf('table')[0]!.rows).toHaveLength(2);
  });

  it('scores the text after either option where the options are part of the prompt', async () => {
    const rows = [{ sentence: 'Ann beat Bea as _ trained _more.', option1: 'Ann', option2: 'Bea', answer: '2' }];
    const outputs = await run({ tasks: 'winogrande', data: { winogrande: evaluation.write('w.jsonl', rows) } });
    const [sample] = samples(outputs, 'winogrande');
    expect(sample.arguments).toEqual([
      ['Ann beat Bea as Ann', ' trained _more.'],
      ['Ann beat Bea as Bea', ' trained _more.'],
    ]);
    expect(sample.target).toBe(1);
  });

  it('puts worked examples before the question, never the question itself', async () => {
    evaluation.write('rows.jsonl', questions);
    const task = evaluation.write(
      'own.yaml',
      [
        'task: own',
        'dataset_path: json',
        'dataset_kwargs: {data_files: {test: rows.jsonl}}',
        'test_split: test',
        'fewshot_split: test',
        'fewshot_config: {sampler: first_n}',
        'num_fewshot: 1',
        'output_type: multiple_choice',
        'description: "Choose.\\n\\n"',
        'doc_to_text: "Q: {{question}}\\nA:"',
        'doc_to_choice: "{{choices.text}}"',
        'doc_to_target: "{{choices.label.index(answerKey)}}"',
        'metric_list: [{metric: acc}, {metric: acc_bytes}]',
      ].join('\n'),
    );
    const outputs = await run({ tasks: [task] });
    const prompts = samples(outputs, 'own').map((sample) => sample.arguments[0][0]);
    expect(prompts[0]).toBe('Choose.\n\nQ: Which one gives light?\nA: lamp\n\nQ: Which one is a fruit?\nA:');
    expect(prompts[1]).toBe('Choose.\n\nQ: Which one is a fruit?\nA: apple\n\nQ: Which one gives light?\nA:');
    const drawn = await run({ tasks: [task], numFewshot: 2, limit: 2 });
    expect(json(drawn.results)['n-samples'].own).toEqual({ original: 3, effective: 2 });
    await expect(run({ tasks: [task], numFewshot: 3 })).rejects.toMatchObject({ code: 'LF_EVALUATE_SHOTS' });
  });
});

describe('generated answers', () => {
  const yaml = (lines: string[]) =>
    ['task: say', 'dataset_path: json', 'dataset_kwargs: {data_files: rows.jsonl}', 'test_split: train', ...lines].join(
      '\n',
    );

  it('end at their stop texts, are filtered, and scored by each rule', async () => {
    evaluation.write('rows.jsonl', [
      { ask: 'one two three', answer: ['zzz', 'one two'] },
      { ask: 'four five', answer: ['five'] },
    ]);
    const task = evaluation.write(
      'say.yaml',
      yaml([
        'doc_to_text: "{{ask}}"',
        'doc_to_target: answer',
        'generation_kwargs: {until: ["\\n"], max_gen_toks: 12}',
        'metric_list: [{metric: exact_match, ignore_case: true}, {metric: f1}, {metric: contains}, {metric: matches}]',
        'filter_list: [{name: all, filter: [{function: take_first}]}, {name: upper, filter: [{function: uppercase}]}]',
      ]),
    );
    const outputs = await run({ tasks: task });
    const own = samples(outputs, 'say');
    expect(own).toHaveLength(4);
    for (const { resps } of own) expect(resps[0][0]).not.toContain('\n');
    expect(own[2].filtered_resps[0]).toBe(own[0].resps[0][0].toUpperCase());
    expect(Object.keys(json(outputs.results).results.say)).toEqual(
      expect.arrayContaining(['exact_match,all', 'f1,upper', 'matches_stderr,all']),
    );
  });

  it('can be asked for through the chat template of the model', async () => {
    evaluation.write('rows.jsonl', [{ ask: 'turn on the lamp', answer: 'x' }]);
    const task = evaluation.write('say.yaml', yaml(['doc_to_text: ask', 'doc_to_target: "{{answer}}"']));
    const outputs = await run({ tasks: task, chat: true, maxNewTokens: 4 });
    expect(samples(outputs, 'say')[0].arguments[0][0]).toEqual([{ role: 'user', content: 'turn on the lamp' }]);
  });
});

describe('likelihoods of texts', () => {
  it('give perplexities per word and byte, windows past the context included', async () => {
    evaluation.write('rows.jsonl', [{ text: 'wake me at seven '.repeat(200) }, { text: 'turn on the lamp' }]);
    const task = evaluation.write(
      'text.yaml',
      [
        'task: text',
        'dataset_path: json',
        'dataset_kwargs: {data_files: {test: rows.jsonl}}',
        'test_split: test',
        'output_type: loglikelihood_rolling',
        'doc_to_target: "{{text}}"',
      ].join('\n'),
    );
    const outputs = await run({ tasks: task });
    const own = json(outputs.results).results.text;
    const sums = samples(outputs, 'text').reduce(
      (sum, { word_perplexity: [logLikelihood, words] }) => [sum[0] + logLikelihood, sum[1] + words],
      [0, 0],
    );
    expect(own['word_perplexity,none']).toBeCloseTo(Math.exp(-sums[0] / sums[1]), 6);
    expect(Math.log2(own['byte_perplexity,none'])).toBeCloseTo(own['bits_per_byte,none'], 10);
  });
});

describe('a model whose weights are damaged', () => {
  it('gets no score', async () => {
    const task = stubTask();
    const nan = { logLikelihood: Number.NaN, greedy: false };
    const model = { name: 'broken', logLikelihoods: async () => [nan, nan] } as unknown as EvaluatedModel;
    const run = { signal: new AbortController().signal };
    await expect(evaluateTask(task, model, run)).rejects.toMatchObject({ code: 'LF_EVALUATE_NOT_FINITE' });
  });

  function stubTask() {
    const config = taskConfig.parse({
      task: 'own',
      output_type: 'multiple_choice',
      doc_to_text: 'ask',
      doc_to_choice: ['a', 'b'],
      doc_to_target: 0,
    });
    const documents = [{ ask: 'which' }];
    return new Task(config, { split: 'test', documents, of: () => documents });
  }
});

describe('what is wrong with a task', () => {
  const fails = (options: Record<string, unknown>) => expect(run(options)).rejects;

  it('is told with its file and key', async () => {
    const broken = (name: string, text: string) => evaluation.write(name, text);
    const rows = evaluation.write('rows.jsonl', questions);
    const own = { own: rows };
    await fails({ tasks: 'arc_esay' }).toThrow('Did you mean "arc_easy"?');
    await fails({ tasks: 'arc_easy' }).toMatchObject({ code: 'LF_EVALUATE_TASK_DATA' });
    await fails({ tasks: broken('f.yaml', 'task: own\ndoc_to_text: !function a.b\n') }).toThrow('Python function a.b');
    await fails({ tasks: broken('k.yaml', 'task: own\ndoc_to_txt: a\n') }).toThrow('doc_to_txt');
    await fails({ tasks: broken('i.yaml', 'include: i.yaml\n') }).toThrow('includes itself');
    await fails({ tasks: broken('y.yaml', 'task: [') }).toMatchObject({ code: 'LF_EVALUATE_TASK_FILE' });
    const config = 'task: own\ntest_split: test\n';
    await fails({ tasks: broken('t.yaml', `${config}doc_to_text: "{{nope}}"`), data: own }).toThrow(
      'doc_to_text of the task own fails on document 0',
    );
    await fails({ tasks: broken('m.yaml', `${config}metric_list: [{metric: acc}]`), data: own }).toThrow(
      'no metric "acc"',
    );
    const filters = `${config}filter_list: [{name: a, filter: [{function: nope}]}]`;
    await fails({ tasks: broken('l.yaml', filters), data: own }).toThrow('no filter "nope"');
    await fails({ tasks: broken('d.yaml', config), data: { own: evaluation.write('d.jsonl', '1\n') } }).toThrow(
      'd.jsonl:1',
    );
  });

  it('is a score below failUnder too', async () => {
    const data = { arc_easy: evaluation.write('arc.jsonl', questions) };
    await fails({ tasks: 'arc_easy', data, failUnder: { arc_easy: 1.01 } }).toMatchObject({
      code: 'LF_EVALUATE_BELOW',
      exitCode: 3,
    });
  });
});

describe('a task that a plugin brings', () => {
  const plugin = definePlugin({
    name: 'largeforge-plugin-counting',
    version: '1.0.0',
    apiVersion: 1,
    options: z.strictObject({}),
    setup(context) {
      context.registries.task.add('counting', {
        describe: 'Answers of at least as many characters as were asked for',
        load: () => ({
          config: {
            output_type: 'generate_until',
            test_split: 'test',
            doc_to_text: 'Say something of {{length}} characters:',
            metric_list: [{ metric: 'long_enough' }],
            generation_kwargs: { until: ['\n\n\n'], max_gen_toks: 6 },
          },
          documents: { test: [{ length: 1 }, { length: 10_000 }] },
          metrics: { long_enough: (answer, { length }) => Number(answer.length >= Number(length)) },
        }),
      });
    },
  });

  it('has its own documents and rules, and is found by its name', async () => {
    await using evaluation = await Evaluation.start(plugin);
    const outputs = await evaluation.run('tasks', { model: tinyBase, tasks: 'counting' });
    expect(outputs.scores).toEqual({ counting: { 'long_enough,none': 0.5 } });
    await expect(evaluation.run('tasks', { model: tinyBase, tasks: 'countin' })).rejects.toThrow(
      /did you mean "counting"/i,
    );
  });
});
