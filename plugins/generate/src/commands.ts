import {
  type CommandContext,
  type CommandDefinition,
  type CommandOption,
  collect,
  defineErrors,
  integerBetween,
  numberBetween,
  pathOrName,
  resolveUserPath,
} from '@largeforge/core';
import { runChatSession } from './chat-session.js';
import { complete } from './completion.js';
import type { ModelHost } from './model-host.js';
import type { ServedModel } from './served-model.js';

const errors = defineErrors({
  LF_CHAT_TEMPLATE_MISSING: {
    message: ({ model }: { model: string }) => `the model '${model}' has no chat template`,
    remedy: () => 'use "largeforge complete" with it, or a model that was tuned for conversations',
  },
});

/** Where commands read and write; the process's own streams outside of tests. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream;
  /** Notices and figures, which are no part of the text. */
  readonly notices: NodeJS.WritableStream;
}

/** Defaults of the SyRS, as the server has them. */
const flags: readonly CommandOption[] = [
  { flags: '-m, --model <model>', description: 'folder, .gguf file, adapter or cached name', required: true },
  {
    flags: '--max-tokens <count>',
    description: 'tokens to generate at most',
    parse: integerBetween(1, 1e9),
    default: 256,
  },
  { flags: '--temperature <number>', description: '0 is greedy', parse: numberBetween(0, 100), default: 0.7 },
  { flags: '--top-p <share>', description: 'nucleus sampling', parse: numberBetween(0, 1), default: 0.9 },
  {
    flags: '--top-k <count>',
    description: 'of the most likely tokens; 0 is all',
    parse: integerBetween(0, 1e9),
    default: 50,
  },
  { flags: '--min-p <share>', description: 'of the most likely one', parse: numberBetween(0, 1), default: 0 },
  { flags: '--repetition-penalty <number>', description: '1 is none', parse: numberBetween(0.01, 100), default: 1 },
  {
    flags: '--seed <number>',
    description: 'for the same text again',
    parse: integerBetween(0, Number.MAX_SAFE_INTEGER),
  },
  { flags: '--stop <text>', description: 'ends the text; may be repeated', parse: collect },
];

function settings(options: Readonly<Record<string, unknown>>) {
  const { seed } = options;
  return {
    maxTokens: options.maxTokens as number,
    stop: (options.stop as readonly string[] | undefined) ?? [],
    sampling: {
      temperature: options.temperature as number,
      topP: options.topP as number,
      topK: options.topK as number,
      minP: options.minP as number,
      repetitionPenalty: options.repetitionPenalty as number,
      presencePenalty: 0,
      frequencyPenalty: 0,
      ...(seed === undefined ? {} : { seed: seed as number }),
    },
  };
}

async function open(host: ModelHost, { cwd, signal }: CommandContext, model: string): Promise<ServedModel> {
  const path = pathOrName((text) => resolveUserPath(cwd, text), model);
  const { id } = await host.load({ path }, signal);
  return host.get(id);
}

/** `largeforge complete` */
export function completeCommand(host: ModelHost, terminal: Terminal): CommandDefinition<CommandContext> {
  return {
    name: 'complete',
    summary: 'continue a text',
    examples: ['largeforge complete --model ./model --prompt "Once upon a time" --max-tokens 64'],
    options: [...flags, { flags: '--prompt <text>', description: 'the text (default: what standard input holds)' }],
    async run({ options }, context) {
      const model = await open(host, context, options.model as string);
      const prompt = (options.prompt as string | undefined) ?? (await allOf(terminal.input));
      const { usage, seconds, finishReason } = await complete({
        model,
        prompt,
        ...settings(options),
        signal: context.signal,
        onText: (text) => terminal.output.write(text),
      });
      terminal.output.write('\n');
      const { promptTokens, completionTokens } = usage;
      terminal.notices.write(
        `${promptTokens} + ${completionTokens} tokens in ${seconds.toFixed(2)} s, ended by ${finishReason}\n`,
      );
    },
  };
}

/** `largeforge chat` */
export function chatCommand(host: ModelHost, terminal: Terminal): CommandDefinition<CommandContext> {
  return {
    name: 'chat',
    summary: 'talk with a model; /help lists what can be typed',
    examples: ['largeforge chat --model ./model --system "Answer in one sentence."'],
    options: [...flags, { flags: '--system <text>', description: 'the system message' }],
    async run({ options }, context) {
      const model = await open(host, context, options.model as string);
      if (model.chatTemplate === undefined) throw errors.LF_CHAT_TEMPLATE_MISSING({ model: model.id });
      await runChatSession({
        model,
        ...settings(options),
        ...(options.system === undefined ? {} : { system: options.system as string }),
        ...terminal,
        interactive: terminal.input.isTTY === true,
        signal: context.signal,
      });
    },
  };
}

async function allOf(input: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of input) text += chunk;
  return text.replace(/\r?\n$/, '');
}
