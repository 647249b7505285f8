import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { defineErrors, defineStepRunner } from '@largeforge/core';
import {
  type ChatMessage,
  createGenerationEngine,
  type GenerationEngine,
  greedy,
  type Tokenizer,
  writeJson,
} from '@largeforge/engine';
import { z } from 'zod';
import { evaluateErrors } from './errors.js';
import { wilsonInterval } from './interval.js';
import { checkModel, openLocalModel } from './local-model.js';
import { readTextFile } from './text-file.js';

export const exactMatchOptions = z.strictObject({
  model: z.string().min(1).describe('folder, .gguf file, adapter or cached name'),
  dataset: z.string().min(1).describe('JSONL rows of {messages}; the last message is the reference answer'),
  fewShot: z.string().min(1).optional().describe('JSONL rows whose turns are put before each question'),
  compare: z.enum(['text', 'json']).default('text').describe('json: both must parse to the same value'),
  maxTokens: z.int().positive().default(128),
  limit: z.int().positive().optional().describe('only the first rows'),
  dtype: z.enum(['f32', 'bf16']).default('bf16'),
  failUnder: z.number().min(0).max(1).optional().describe('accuracy below which the step fails'),
});

export type ExactMatchOptions = z.output<typeof exactMatchOptions>;

const errors = defineErrors({
  LF_EVALUATE_ROW: {
    message: (a: { file: string; line: number; reason: string }) => `${a.file}:${a.line}: ${a.reason}`,
    remedy: () => 'Each line is {"messages": [..., {"role": "assistant", "content": "the answer"}]}.',
  },
  LF_EVALUATE_EMPTY: {
    message: (a: { file: string }) => `${a.file} has no rows`,
    remedy: () => 'Each line is {"messages": [..., {"role": "assistant", "content": "the answer"}]}.',
  },
});

interface Row {
  readonly turns: readonly ChatMessage[];
  readonly answer: string;
}

/** Generates an answer to each row greedily and counts those that equal the reference. */
export const exactMatchRunner = defineStepRunner('evaluate', {
  options: exactMatchOptions,
  outputs: ['accuracy', 'correct', 'total', 'results'],
  inputs: ({ model, dataset, fewShot }: ExactMatchOptions) => ({
    paths: [model, dataset, ...(fewShot === undefined ? [] : [fewShot])],
  }),
  async check(context, { model, dataset, fewShot }: ExactMatchOptions) {
    await checkModel(context, model);
    for (const rows of [dataset, fewShot]) {
      if (rows !== undefined && !context.comesLater(rows)) readRows(context.resolvePath(rows));
    }
  },
  async run(context, options: ExactMatchOptions) {
    const rows = readRows(context.resolvePath(options.dataset)).slice(0, options.limit);
    const shots = options.fewShot === undefined ? [] : readRows(context.resolvePath(options.fewShot));
    const examples = shots.flatMap(({ turns, answer }) => [...turns, { role: 'assistant', content: answer }]);
    using local = await openLocalModel(context, options.model, options);
    const { model, tokenizer } = local;
    const engine = createGenerationEngine({ model, tokenizer, limits: { maxSequences: 32 } });
    // Every row listens to it at once.
    setMaxListeners(0, context.signal);
    let done = 0;
    const answers = await Promise.all(
      rows.map(async (row) => {
        const text = await answer(engine, tokenizer, [...examples, ...row.turns], options.maxTokens, context.signal);
        context.events.emit({
          type: 'progress',
          task: context.name,
          current: ++done,
          total: rows.length,
          unit: 'rows',
        });
        return {
          question: row.turns.at(-1)?.content,
          expected: row.answer,
          answer: text,
          correct: same(text, row.answer, options.compare),
        };
      }),
    );
    await engine.close();
    const correct = answers.filter((entry) => entry.correct).length;
    const accuracy = correct / rows.length;
    const [low, high] = wilsonInterval(correct, rows.length);
    const results = join(context.outputDir, 'results.json');
    writeJson(results, { accuracy, correct, total: rows.length, interval95: [low, high], options, answers });
    context.events.emit({
      type: 'table',
      task: context.name,
      columns: ['accuracy', '95 % interval', 'correct', 'shots'],
      rows: [
        [
          `${(100 * accuracy).toFixed(1)} %`,
          `${(100 * low).toFixed(1)}-${(100 * high).toFixed(1)} %`,
          `${correct}/${rows.length}`,
          shots.length,
        ],
      ],
    });
    if (options.failUnder !== undefined && accuracy < options.failUnder) {
      throw evaluateErrors.LF_EVALUATE_BELOW({ metric: 'accuracy', value: accuracy, failUnder: options.failUnder });
    }
    return { accuracy, correct, total: rows.length, results };
  },
});

async function answer(
  engine: GenerationEngine,
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  maxTokens: number,
  signal: AbortSignal,
): Promise<string> {
  const prompt = tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true });
  const promptTokens = await tokenizer.encode(prompt, { addSpecialTokens: false });
  let text = '';
  for await (const event of engine.generate({ promptTokens, sampling: greedy, maxTokens, signal })) {
    if (event.type === 'token') text += event.text;
  }
  return text.trim();
}

/** Whether an answer counts as the reference. */
export function same(text: string, reference: string, compare: 'text' | 'json'): boolean {
  if (compare === 'text') return text === reference.trim();
  try {
    return isDeepStrictEqual(JSON.parse(text), JSON.parse(reference));
  } catch {
    return false;
  }
}

function readRows(file: string): Row[] {
  const rows = readTextFile(file)
    .split('\n')
    .flatMap((line, i) => {
      if (line.trim() === '') return [];
      const fail = (reason: string) => errors.LF_EVALUATE_ROW({ file, line: i + 1, reason });
      let value: { messages?: ChatMessage[] };
      try {
        value = JSON.parse(line);
      } catch (error) {
        throw fail((error as Error).message);
      }
      const { messages } = value;
      const last = messages?.at(-1);
      if (!Array.isArray(messages) || last?.role !== 'assistant' || typeof last.content !== 'string') {
        throw fail('there are no messages that end with an answer of the assistant');
      }
      return [{ turns: messages.slice(0, -1), answer: last.content }];
    });
  if (rows.length === 0) throw errors.LF_EVALUATE_EMPTY({ file });
  return rows;
}
