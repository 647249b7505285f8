import type { ChatMessage } from '@largeforge/engine';
import { evaluateErrors } from '../errors.js';
import type { GenerationRequest, Prompt, ScoredPair } from '../models/evaluated-model.js';
import type { Document, TaskDocuments } from './documents.js';
import type { AnswerRule } from './plugin-task.js';
import { parsePythonLiteral } from './python-literal.js';
import { PythonRandom } from './python-random.js';
import type { TaskConfig } from './task-config.js';
import { DocumentTemplate } from './template.js';

/** The seed with which lm-evaluation-harness draws worked examples. */
const FEWSHOT_SEED = 1234;
const DEFAULT_NEW_TOKENS = 256;

export interface TaskOptions {
  /** Worked examples in every prompt; as the task file says, else none. */
  readonly numFewshot?: number;
  /** Only the first documents. */
  readonly limit?: number;
  /** Tokens of a generated answer; as the task file says, else 256. */
  readonly maxNewTokens?: number;
  /** Put prompts through the model's chat template, every worked example as two turns. */
  readonly chat?: boolean;
}

/** What is asked of a model for one document. */
export interface TaskItem {
  readonly index: number;
  readonly document: Document;
  /** The right answer: the index of a choice, a text, or several texts. */
  readonly target: number | string | readonly (number | string)[];
  readonly choices?: readonly string[];
  /** For each choice, or for the one continuation. */
  readonly pairs?: readonly ScoredPair[];
  readonly generation?: GenerationRequest;
}

type Field = 'doc_to_text' | 'doc_to_target' | 'doc_to_choice' | 'description';
type FieldOverrides = Partial<Pick<TaskConfig, Exclude<Field, 'description'>>>;

interface Turn extends ChatMessage {
  readonly content: string;
  /** What follows when turns are put together as one text. */
  readonly delimiter: string;
}

/** Builds the prompts of a task as lm-evaluation-harness builds them. */
export class Task {
  readonly numFewshot: number;
  private readonly templates = new Map<string, DocumentTemplate>();
  private readonly random = new PythonRandom(FEWSHOT_SEED);

  constructor(
    readonly config: TaskConfig,
    private readonly data: TaskDocuments,
    private readonly options: TaskOptions = {},
    /** Rules of its own for generated answers. */
    readonly rules: Readonly<Record<string, AnswerRule>> = {},
  ) {
    this.numFewshot = options.numFewshot ?? config.num_fewshot ?? 0;
  }

  /** Documents of the evaluated split. */
  get size(): number {
    return this.data.documents.length;
  }

  /** The requests of every document, in their order: worked examples are drawn one document after the other. */
  items(): TaskItem[] {
    return this.data.documents.slice(0, this.options.limit).map((document, index) => this.item(document, index));
  }

  private item(document: Document, index: number): TaskItem {
    const { config } = this;
    const before = this.before(document, index);
    const choices = config.doc_to_choice === undefined ? undefined : this.choices(document, index);
    const target = this.target(document, index);
    const text = this.text(document, index);
    // With chat templates, the template itself separates question and answer.
    const delimiter = this.options.chat ? '' : config.target_delimiter;
    const item = { index, document, target, ...(choices && { choices }) };
    if (config.output_type === 'generate_until') {
      return { ...item, generation: this.generation([...before, turn('user', String(text))]) };
    }
    if (config.output_type === 'loglikelihood_rolling') {
      return { ...item, pairs: [{ context: '', continuation: String(target) }] };
    }
    if (config.output_type === 'loglikelihood') {
      const context = this.prompt([...before, turn('user', String(text))]);
      return { ...item, pairs: [{ context, continuation: `${delimiter}${target}` }] };
    }
    if (choices === undefined)
      throw this.failure('doc_to_choice', index, 'the task has multiple choice and no choices');
    if (typeof text === 'number') {
      // The choices are contexts, and the text after them is scored; doc_to_text says which of them is right.
      const pairs = choices.map((choice) => ({
        context: this.prompt([...before, turn('user', choice)]),
        continuation: `${delimiter}${target}`,
      }));
      return { ...item, target: text, pairs };
    }
    const context = this.prompt([...before, turn('user', text)]);
    return { ...item, pairs: choices.map((choice) => ({ context, continuation: `${delimiter}${choice}` })) };
  }

  private generation(turns: readonly Turn[]): GenerationRequest {
    const {
      until = [this.config.fewshot_delimiter],
      max_gen_toks,
      do_sample,
      temperature = 0,
      top_p,
      top_k,
    } = this.config.generation_kwargs ?? {};
    return {
      prompt: this.prompt(turns),
      until: [until].flat().filter((text) => text !== ''),
      maxTokens: this.options.maxNewTokens ?? max_gen_toks ?? DEFAULT_NEW_TOKENS,
      temperature: do_sample === false ? 0 : temperature,
      ...(top_p !== undefined && { topP: top_p }),
      ...(top_k !== undefined && { topK: top_k }),
    };
  }

  /** Description and worked examples. */
  private before(document: Document, index: number): Turn[] {
    const { config, numFewshot } = this;
    const description = config.description === '' ? '' : String(this.field('description', document, index));
    const turns = description === '' ? [] : [turn('system', description)];
    if (numFewshot === 0) return turns;
    const fewshot = config.fewshot_config;
    const delimiter = fewshot?.target_delimiter ?? config.target_delimiter;
    const after = fewshot?.fewshot_delimiter ?? config.fewshot_delimiter;
    for (const example of this.examples(document)) {
      const choices = config.doc_to_choice === undefined ? undefined : this.choices(example, index, fewshot ?? {});
      const text = this.text(example, index, fewshot ?? {});
      const target = this.target(example, index, fewshot ?? {});
      const several = typeof text === 'number';
      const question = several ? String(choices?.[text]) : text;
      const first = Array.isArray(target) ? target[0] : target;
      const answer = typeof first === 'number' && choices && !several ? choices[first] : first;
      turns.push(turn('user', question, delimiter), turn('assistant', String(answer), after));
    }
    return turns;
  }

  /** Worked examples for a document, which is never among them where both come from one split. */
  private examples(document: Document): readonly Document[] {
    const { config, data, numFewshot } = this;
    const fewshot = config.fewshot_config;
    const split = fewshot?.split ?? config.fewshot_split ?? undefined;
    const candidates = [split, config.training_split, config.validation_split, config.test_split];
    let pool: readonly Document[] =
      (split === undefined ? fewshot?.samples : undefined) ??
      candidates.flatMap((each) => (each == null ? [] : [data.of(each)])).find((each) => each !== undefined) ??
      [];
    if (fewshot?.fewshot_indices) pool = fewshot.fewshot_indices.map((i) => pool[i]!);
    const others = pool.filter((each) => each !== document);
    const fail = () =>
      evaluateErrors.LF_EVALUATE_SHOTS({ task: config.task, wanted: numFewshot, found: others.length });
    if (others.length < numFewshot) throw fail();
    // lm-evaluation-harness looks for the document only when both splits have the same name, or neither is given.
    const sameSplit = split === (config.test_split ?? undefined);
    if (fewshot?.sampler === 'first_n') return (sameSplit ? others : pool).slice(0, numFewshot);
    if (!sameSplit) return this.random.sample(pool, numFewshot);
    if (pool.length <= numFewshot) throw fail();
    const drawn = this.random.sample(pool, numFewshot + 1);
    return drawn.filter((each) => each !== document).slice(0, numFewshot);
  }

  private prompt(turns: readonly Turn[]): Prompt {
    if (this.options.chat) return turns.map(({ role, content }) => ({ role, content }));
    return turns.map(({ content, delimiter }) => content + delimiter).join('');
  }

  private text(document: Document, index: number, overrides: FieldOverrides = {}): string | number {
    const value = this.field('doc_to_text', document, index, overrides);
    return typeof value === 'number' ? value : String(value);
  }

  private target(document: Document, index: number, overrides: FieldOverrides = {}): TaskItem['target'] {
    const value = this.field('doc_to_target', document, index, overrides);
    if (typeof value === 'boolean') return Number(value);
    if (typeof value !== 'string' || !/^\[.*\]$/s.test(value)) return value as TaskItem['target'];
    try {
      return parsePythonLiteral(value) as (string | number)[];
    } catch {
      return value;
    }
  }

  private choices(document: Document, index: number, overrides: FieldOverrides = {}): readonly string[] {
    const configured = overrides.doc_to_choice ?? this.config.doc_to_choice;
    if (typeof configured === 'object') return Object.values(configured);
    const value = this.field('doc_to_choice', document, index, overrides);
    if (Array.isArray(value)) return value.map(String);
    try {
      return (parsePythonLiteral(String(value)) as unknown[]).map(String);
    } catch (error) {
      throw this.failure('doc_to_choice', index, (error as Error).message);
    }
  }

  /** A field of the document by its name, or a template over its fields. */
  private field(key: Field, document: Document, index: number, overrides: FieldOverrides = {}): unknown {
    const configured = key === 'description' ? this.config.description : (overrides[key] ?? this.config[key]);
    if (typeof configured !== 'string') return configured;
    if (Object.hasOwn(document, configured)) return document[configured];
    try {
      const template = this.templates.get(configured) ?? new DocumentTemplate(configured);
      this.templates.set(configured, template);
      const text = template.render(document);
      // Where there are choices, a number is the index of one.
      return /^\d+$/.test(text) && key !== 'doc_to_choice' && this.config.doc_to_choice !== undefined
        ? Number(text)
        : text;
    } catch (error) {
      throw this.failure(key, index, (error as Error).message);
    }
  }

  private failure(key: string, document: number, reason: string) {
    return evaluateErrors.LF_EVALUATE_TEMPLATE({ task: this.config.task, key, document, reason });
  }
}

function turn(role: string, content: string, delimiter = ''): Turn {
  return { role, content, delimiter };
}
