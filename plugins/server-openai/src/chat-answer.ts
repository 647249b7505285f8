import { randomUUID } from 'node:crypto';
import type { ToolCall } from './schemas/tools.js';
import type { CallParser } from './tools/call-parser.js';
import type { SpokenPart } from './tools/call-reader.js';

/** A piece of a choice as a stream's delta shows it. */
export interface ChatDelta {
  readonly content?: string;
  readonly tool_calls?: readonly [
    {
      readonly index: number;
      readonly id?: string;
      readonly type?: 'function';
      readonly function: { readonly name?: string; readonly arguments: string };
    },
  ];
}

/** What one choice of a chat says: text, and calls where the request has tools. */
export class ChatAnswer {
  private text = '';
  private readonly calls: { id: string; name: string; arguments: string }[] = [];

  /** @param parser absent when nothing may be called: then everything is text */
  constructor(private readonly parser?: CallParser) {}

  /** Takes more of the model's text; gives what a stream shows of it. */
  push(text: string): ChatDelta[] {
    return this.take(this.parser ? this.parser.push(text) : [{ type: 'text', text }]);
  }

  /** The text has ended. */
  finish(): ChatDelta[] {
    return this.take(this.parser?.finish() ?? []);
  }

  get called(): boolean {
    return this.calls.length > 0;
  }

  /** The whole message. */
  get message() {
    const toolCalls: ToolCall[] = this.calls.map(({ id, name, arguments: given }) => ({
      id,
      type: 'function',
      function: { name, arguments: given },
    }));
    return {
      role: 'assistant' as const,
      content: this.called && this.text === '' ? null : this.text,
      refusal: null,
      ...(this.called && { tool_calls: toolCalls }),
    };
  }

  private take(parts: readonly SpokenPart[]): ChatDelta[] {
    return parts.flatMap((part): ChatDelta[] => {
      if (part.type === 'text') {
        this.text += part.text;
        return part.text === '' ? [] : [{ content: part.text }];
      }
      const index = part.type === 'call' ? this.calls.length : this.calls.length - 1;
      if (part.type === 'call') {
        const id = `call_${randomUUID().replaceAll('-', '')}`;
        this.calls.push({ id, name: part.name, arguments: '' });
        return [{ tool_calls: [{ index, id, type: 'function', function: { name: part.name, arguments: '' } }] }];
      }
      this.calls[index]!.arguments += part.text;
      return [{ tool_calls: [{ index, function: { arguments: part.text } }] }];
    });
  }
}
