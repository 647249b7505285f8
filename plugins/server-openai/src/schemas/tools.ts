import { z } from 'zod';
import { apiErrors } from '../http/api-error.js';
import { named } from './registry.js';

const functionName = z.string().regex(/^[\w.-]{1,64}$/, 'expected up to 64 letters, digits, _, . or -');

export const toolSchema = named(
  'Tool',
  z.looseObject({
    type: z.literal('function', 'only functions are supported'),
    function: z.looseObject({
      name: functionName,
      description: z.string().nullish(),
      parameters: z.record(z.string(), z.unknown()).nullish().describe('a JSON schema; none means no parameters'),
      strict: z.boolean().nullish().describe('arguments follow the schema also when the model chooses to call'),
    }),
  }),
);

export const toolChoiceSchema = named(
  'ToolChoice',
  z.union(
    [
      z.enum(['none', 'auto', 'required']),
      z.looseObject({ type: z.literal('function'), function: z.looseObject({ name: z.string() }) }),
    ],
    'expected "none", "auto", "required" or {type: "function", function: {name}}',
  ),
);

/** A call in an assistant's message, sent and received. */
export const toolCallSchema = named(
  'ToolCall',
  z.object({
    id: z.string(),
    type: z.literal('function'),
    function: z.object({ name: z.string(), arguments: z.string().describe('JSON') }),
  }),
);

export type ToolCall = z.output<typeof toolCallSchema>;

export const toolFields = {
  tools: z.array(toolSchema).max(128).nullish().describe('functions that the model may call'),
  tool_choice: toolChoiceSchema.nullish().describe('default "auto" when there are tools'),
  parallel_tool_calls: z.boolean().nullish().describe('whether an answer may hold several calls; default true'),
};

export type Tool = z.output<typeof toolSchema>;

/** The tools that an answer may use, and how. */
export interface ToolUse {
  /** What the model is told of. */
  readonly tools: readonly Tool[];
  /** What it may call: all of them, or the one that the request names. */
  readonly callable: readonly Tool[];
  /** `must`: the answer is a call. */
  readonly choice: 'auto' | 'must';
  /** One function was named: exactly one call of it. */
  readonly named: boolean;
  readonly parallel: boolean;
}

interface ToolFields {
  readonly tools?: readonly Tool[] | null;
  readonly tool_choice?: z.output<typeof toolChoiceSchema> | null;
  readonly parallel_tool_calls?: boolean | null;
}

/** What a request allows; undefined when nothing shall be called. Refuses names that occur twice or not at all. */
export function toolUse({
  tools,
  tool_choice: choice,
  parallel_tool_calls: parallel,
}: ToolFields): ToolUse | undefined {
  const given = tools ?? [];
  const names = given.map((tool) => tool.function.name);
  const twice = names.findIndex((name, index) => names.indexOf(name) !== index);
  if (twice >= 0) {
    throw apiErrors.invalidRequest(
      `Two tools are named ${JSON.stringify(names[twice])}.`,
      `tools[${twice}].function.name`,
    );
  }
  if (given.length === 0) {
    if (choice == null || choice === 'none' || choice === 'auto') return undefined;
    throw apiErrors.invalidRequest('tool_choice needs tools.', 'tool_choice');
  }
  if (choice === 'none') return undefined;
  const all = { tools: given, callable: given, named: false, parallel: parallel ?? true };
  if (choice == null || choice === 'auto') return { ...all, choice: 'auto' };
  if (choice === 'required') return { ...all, choice: 'must' };
  const { name } = choice.function;
  const tool = given.find((candidate) => candidate.function.name === name);
  if (!tool) throw apiErrors.invalidRequest(`No tool is named ${JSON.stringify(name)}.`, 'tool_choice.function.name');
  return { tools: given, callable: [tool], choice: 'must', named: true, parallel: false };
}
