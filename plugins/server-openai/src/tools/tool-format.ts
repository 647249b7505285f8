import type { ChatMessage, OutputFormat } from '../models.js';
import type { Tool, ToolUse } from '../schemas/tools.js';
import { BareCallParser, type CallParser, TaggedCallParser } from './call-parser.js';

/** How a model writes calls. */
export interface ToolFormat {
  /** Before and after the arguments of a call, and between two calls. */
  readonly begin: (name: string) => string;
  readonly end: string;
  readonly separator: string;
  /** What a call begins with, whatever its name. */
  readonly trigger: string;
  /** Whether the model's template knows of tools; otherwise they are described in the system message. */
  readonly inTemplate: boolean;
  parser(known: ReadonlySet<string>): CallParser;
}

const tagged = (inTemplate: boolean): ToolFormat => ({
  begin: (name) => `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": `,
  end: '}\n</tool_call>',
  separator: '\n',
  trigger: '<tool_call>',
  inTemplate,
  parser: (known) => new TaggedCallParser(known),
});

const bare: ToolFormat = {
  begin: (name) => `{"name": ${JSON.stringify(name)}, "parameters": `,
  end: '}',
  separator: '; ',
  trigger: '{"name": ',
  inTemplate: true,
  parser: (known) => new BareCallParser(known),
};

/**
 * The format that a model was trained on, as its chat template tells it: Hermes' and Qwen's tags, or Llama 3's bare JSON.
 * A model whose template shows neither is asked for the tags.
 */
export function toolFormatOf(template: string): ToolFormat {
  if (template.includes('<tool_call>')) return tagged(true);
  if (/<\|python_tag\|>|\bipython\b/.test(template)) return bare;
  return tagged(false);
}

/**
 * The grammar of an answer: with `must` nothing but calls; with `auto` any text in which calls, where there are any, have
 * arguments as their schemas say. Undefined when nothing needs to be enforced: `auto` without a strict tool.
 */
export function callGrammar(format: ToolFormat, { callable, choice, parallel }: ToolUse): OutputFormat | undefined {
  if (choice === 'auto' && !callable.some((tool) => tool.function.strict)) return undefined;
  const tags = callable.map((tool) => ({
    type: 'tag',
    begin: format.begin(tool.function.name),
    content: { type: 'json_schema', json_schema: argumentSchema(tool) },
    end: format.end,
  }));
  const common = { tags, stop_after_first: !parallel };
  const content =
    choice === 'must'
      ? { type: 'tags_with_separator', ...common, separator: format.separator, at_least_one: true }
      : { type: 'triggered_tags', ...common, triggers: [format.trigger], at_least_one: false };
  return { kind: 'structural-tag', format: content };
}

/** A function without parameters takes an empty object; one whose schema is not strict may still not leave it. */
function argumentSchema({ function: { parameters } }: Tool): Record<string, unknown> {
  return parameters ?? { type: 'object', properties: {}, additionalProperties: false };
}

/** The conversation and the tools as the model's template takes them. */
export function describeTools(
  format: ToolFormat,
  messages: readonly ChatMessage[],
  tools: readonly Tool[],
): { messages: readonly ChatMessage[]; tools?: readonly Tool[] } {
  if (format.inTemplate) return { messages, ...(tools.length > 0 && { tools }) };
  const plain = messages.map(withoutToolRoles);
  if (tools.length === 0) return { messages: plain };
  const [first, ...rest] = plain;
  const said = first?.role === 'system' ? `${first.content}\n\n` : '';
  const system = { role: 'system', content: said + instructions(tools) };
  return { messages: [system, ...(first?.role === 'system' ? rest : plain)] };
}

/** Hermes 2 Pro's instructions, as Qwen 2.5 words them. */
function instructions(tools: readonly Tool[]): string {
  return [
    '# Tools\n\nYou may call one or more functions to assist with the user query.\n',
    'You are provided with function signatures within <tools></tools> XML tags:\n<tools>',
    ...tools.map((tool) => JSON.stringify(tool)),
    '</tools>\n',
    'For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:',
    '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>',
  ].join('\n');
}

/** Calls and their results as text, for templates that know only of users and assistants. */
function withoutToolRoles(message: ChatMessage): ChatMessage {
  const { role, content, tool_calls: calls = [] } = message;
  if (role === 'tool') return { role: 'user', content: `<tool_response>\n${content}\n</tool_response>` };
  if (calls.length === 0) return message;
  const written = calls.map(({ function: { name, arguments: given } }) => {
    return `<tool_call>\n${JSON.stringify({ name, arguments: given })}\n</tool_call>`;
  });
  return { role, content: [content, ...written].filter((part) => part !== '').join('\n') };
}
