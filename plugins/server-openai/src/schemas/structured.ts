import { z } from 'zod';
import { apiErrors } from '../http/api-error.js';
import type { OutputFormat } from '../models.js';
import { named } from './registry.js';

const jsonSchema = z.union([z.record(z.string(), z.unknown()), z.boolean()], 'expected a JSON schema');
/** vLLM takes a schema also as a string of JSON. */
const schemaOrText = z.union([z.string(), jsonSchema], 'expected a JSON schema, or one as a string');
const choices = z.array(z.string().min(1)).min(1).max(4096);

export const responseFormatSchema = named(
  'ResponseFormat',
  z.discriminatedUnion(
    'type',
    [
      z.looseObject({ type: z.literal('text') }),
      z.looseObject({ type: z.literal('json_object') }),
      z.looseObject({
        type: z.literal('json_schema'),
        json_schema: z.looseObject({
          name: z
            .string()
            .regex(/^[\w-]{1,64}$/, 'expected up to 64 letters, digits, _ or -')
            .describe('what the schema describes'),
          description: z.string().nullish(),
          schema: jsonSchema.optional(),
          strict: z.boolean().nullish().describe('accepted; every schema is enforced'),
        }),
      }),
    ],
    { error: 'expected an object of type "text", "json_object" or "json_schema"' },
  ),
);

/** What a text must look like, as vLLM's fields say it; for chats and completions alike. */
export const structuredFields = {
  structured_outputs: named(
    'StructuredOutputs',
    z.strictObject({
      json: schemaOrText.nullish().describe('a JSON schema'),
      regex: z.string().min(1).nullish(),
      choice: choices.nullish().describe('exactly one of these texts'),
      grammar: z.string().min(1).nullish().describe('EBNF with a rule "root"'),
      json_object: z.boolean().nullish().describe('any JSON object'),
    }),
  )
    .nullish()
    .describe("vLLM's field: one of json, regex, choice, grammar and json_object"),
  guided_json: schemaOrText.nullish().describe('the older name of structured_outputs.json'),
  guided_regex: z.string().min(1).nullish().describe('the older name of structured_outputs.regex'),
  guided_choice: choices.nullish().describe('the older name of structured_outputs.choice'),
  guided_grammar: z.string().min(1).nullish().describe('the older name of structured_outputs.grammar'),
};

interface StructuredFields {
  readonly response_format?: z.output<typeof responseFormatSchema> | null;
  readonly structured_outputs?: {
    readonly json?: unknown;
    readonly regex?: string | null;
    readonly choice?: readonly string[] | null;
    readonly grammar?: string | null;
    readonly json_object?: boolean | null;
  } | null;
  readonly guided_json?: unknown;
  readonly guided_regex?: string | null;
  readonly guided_choice?: readonly string[] | null;
  readonly guided_grammar?: string | null;
}

/** A format and the field that asked for it. */
export interface AskedFormat {
  readonly param: string;
  readonly format: OutputFormat;
}

const anyObject: OutputFormat = { kind: 'json-schema', schema: { type: 'object', additionalProperties: true } };

/** The format that a request asks for; a 400 when it asks for several, or for an empty one. */
export function askedFormat(body: StructuredFields): AskedFormat | undefined {
  const { response_format: response, structured_outputs: structured } = body;
  const found: AskedFormat[] = [];
  const add = (param: string, format: OutputFormat) => found.push({ param, format });
  if (response?.type === 'json_object') add('response_format', anyObject);
  if (response?.type === 'json_schema') {
    const { schema } = response.json_schema;
    if (schema === undefined) {
      throw apiErrors.invalidRequest('json_schema needs a schema.', 'response_format.json_schema.schema');
    }
    add('response_format', { kind: 'json-schema', schema });
  }
  for (const [prefix, json, regex, choice, grammar] of [
    ['structured_outputs.', structured?.json, structured?.regex, structured?.choice, structured?.grammar],
    ['guided_', body.guided_json, body.guided_regex, body.guided_choice, body.guided_grammar],
  ] as const) {
    if (json != null) add(`${prefix}json`, { kind: 'json-schema', schema: readSchema(json, `${prefix}json`) });
    if (regex != null) add(`${prefix}regex`, { kind: 'regex', pattern: regex });
    if (choice != null) add(`${prefix}choice`, { kind: 'grammar', ebnf: oneOf(choice) });
    if (grammar != null) add(`${prefix}grammar`, { kind: 'grammar', ebnf: grammar });
  }
  if (structured?.json_object) add('structured_outputs.json_object', anyObject);
  if (found.length > 1) {
    const [first, second] = found;
    throw apiErrors.invalidRequest(
      `${first!.param} and ${second!.param} both say what the text must look like; send one of them.`,
      second!.param,
    );
  }
  if (structured && !found.some(({ param }) => param.startsWith('structured_outputs'))) {
    throw apiErrors.invalidRequest(
      'structured_outputs is empty; say json, regex, choice or grammar.',
      'structured_outputs',
    );
  }
  return found[0];
}

function readSchema(json: unknown, param: string): unknown {
  if (typeof json !== 'string') return json;
  try {
    return JSON.parse(json);
  } catch (error) {
    throw apiErrors.invalidRequest(`The schema is not valid JSON: ${(error as Error).message}`, param);
  }
}

/** EBNF of exactly one of some texts; its strings are escaped as JSON's are, and what is not ASCII by code unit. */
function oneOf(texts: readonly string[]): string {
  return `root ::= ${texts.map((text) => JSON.stringify(text)).join(' | ')}`;
}
