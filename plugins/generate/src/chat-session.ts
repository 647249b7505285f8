import { createInterface, type Interface } from 'node:readline';
import type { SamplingParams } from '@largeforge/engine';
import { Conversation } from './conversation.js';
import type { ServedModel } from './served-model.js';

export interface ChatSessionOptions {
  readonly model: ServedModel;
  readonly sampling: SamplingParams;
  readonly maxTokens: number;
  readonly system?: string;
  readonly stop?: readonly string[];
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  /** Notices that are no part of the conversation. */
  readonly notices: NodeJS.WritableStream;
  /** Whether a person types: prompts and a greeting are shown then. */
  readonly interactive: boolean;
  /** Ends the session, and the answer that is being given. */
  readonly signal: AbortSignal;
}

const help = `/system <text>  set the system message and start over (without a text: remove it)
/reset          forget the conversation
/help           show this
/exit           leave (as does Ctrl-D)
`;

/**
 * Talks with a model, a line a message. From a pipe each line is a message too, and the answers are printed without
 * decoration. Ctrl-C stops the answer that is being given; without one it leaves.
 */
export async function runChatSession(options: ChatSessionOptions): Promise<void> {
  const { model, input, output, notices, interactive, signal } = options;
  const conversation = new Conversation(model, options.system);
  const lines = createInterface({ input, output: interactive ? output : undefined, terminal: interactive });
  const session = new Session(options, conversation, lines);
  const leave = () => lines.close();
  signal.addEventListener('abort', leave, { once: true });
  if (interactive) notices.write(`Chatting with ${model.id}. /help lists the commands.\n`);
  try {
    await session.run();
  } finally {
    signal.removeEventListener('abort', leave);
    lines.close();
  }
}

class Session {
  private answering: AbortController | undefined;

  constructor(
    private readonly options: ChatSessionOptions,
    private readonly conversation: Conversation,
    private readonly lines: Interface,
  ) {}

  async run(): Promise<void> {
    const { lines, options } = this;
    lines.on('SIGINT', () => {
      if (this.answering) this.answering.abort();
      else lines.close();
    });
    this.prompt();
    for await (const line of lines) {
      if (options.signal.aborted) break;
      const text = line.trim();
      if (text.startsWith('/')) {
        if (!this.command(text)) break;
      } else if (text !== '') await this.answer(text);
      this.prompt();
    }
  }

  private prompt(): void {
    if (!this.options.interactive) return;
    this.lines.setPrompt('> ');
    this.lines.prompt();
  }

  /** Whether to go on after a command. */
  private command(text: string): boolean {
    const { notices } = this.options;
    const [, name, rest = ''] = /^\/(\S*)\s*(.*)$/s.exec(text)!;
    switch (name) {
      case 'exit':
      case 'quit':
        return false;
      case 'reset':
        this.conversation.reset();
        notices.write('The conversation starts over.\n');
        return true;
      case 'system':
        this.conversation.setSystem(rest);
        notices.write(rest ? 'System message set; the conversation starts over.\n' : 'System message removed.\n');
        return true;
      case 'help':
        notices.write(help);
        return true;
      default:
        notices.write(`There is no command /${name}.\n${help}`);
        return true;
    }
  }

  private async answer(text: string): Promise<void> {
    const { conversation, options } = this;
    const { model, output, notices } = options;
    conversation.say(text);
    const { tokens, forgotten } = await conversation.prompt(options.maxTokens);
    if (forgotten > 0) notices.write(`(The context is full: the oldest ${forgotten} turns were forgotten.)\n`);
    const room = model.contextLength - tokens.length;
    if (room < 1) {
      conversation.unsay();
      notices.write(`The message has ${tokens.length} tokens; the model's context holds ${model.contextLength}.\n`);
      return;
    }
    this.answering = new AbortController();
    let heard = '';
    try {
      const stream = model.generate({
        promptTokens: tokens,
        sampling: options.sampling,
        maxTokens: Math.min(options.maxTokens, room),
        stop: options.stop ?? [],
        signal: AbortSignal.any([options.signal, this.answering.signal]),
      });
      for await (const event of stream) {
        if (event.type !== 'token') continue;
        heard += event.text;
        output.write(event.text);
      }
    } catch (error) {
      if (!this.answering.signal.aborted && !options.signal.aborted) {
        conversation.unsay();
        if (!options.interactive) throw error;
        notices.write(`${error instanceof Error ? error.message : String(error)}\n`);
        return;
      }
    } finally {
      this.answering = undefined;
    }
    output.write('\n');
    conversation.heard(heard);
  }
}
