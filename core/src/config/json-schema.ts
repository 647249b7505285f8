import type { z } from 'zod';
import { layerSchema, rootSchema } from './schema.js';
import { type JsonSchema, jsonSchemaOf } from './schema-paths.js';

/** A plugin whose options the schema describes. */
export interface PluginSchema {
  readonly name: string;
  readonly options: z.ZodType;
}

/** An entry that a step can use. */
export interface StepSchema {
  readonly stage: string;
  readonly use: string;
  readonly describe?: string;
  readonly options: z.ZodType;
}

/** The whole config as JSON Schema (2020-12), with the options of these plugins and steps, for editors. */
export function configJsonSchema(plugins: readonly PluginSchema[], steps: readonly StepSchema[]): JsonSchema {
  const root = jsonSchemaOf(rootSchema);
  const properties = { ...jsonSchemaOf(layerSchema).properties, ...root.properties };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'LargeForge config',
    type: 'object',
    additionalProperties: false,
    properties: {
      ...mapSchemas(properties, withReferences),
      plugins: { ...root.properties?.plugins, items: { anyOf: pluginEntries(plugins) } },
      pipeline: { ...root.properties?.pipeline, items: stepSchema(steps) },
    },
  };
}

function pluginEntries(plugins: readonly PluginSchema[]): JsonSchema[] {
  const known = plugins.map(({ name, options }) => ({
    type: 'array',
    prefixItems: [{ const: name }, embedded(options, `plugin:${name}`)],
    minItems: 1,
    maxItems: 2,
  }));
  const others = {
    type: 'array',
    prefixItems: [{ type: 'string', not: { enum: plugins.map(({ name }) => name) } }, { type: 'object' }],
    minItems: 1,
    maxItems: 2,
  };
  // The names are offered for completion; any other package or path is allowed.
  return [{ enum: plugins.map(({ name }) => name) }, { type: 'string' }, ...known, others];
}

function stepSchema(steps: readonly StepSchema[]): JsonSchema {
  const step = jsonSchemaOf(rootSchema).properties?.pipeline?.items as JsonSchema;
  const uses = steps.map(({ use, describe }) => ({ const: use, ...(describe && { description: describe }) }));
  const conditions = steps.map(({ stage, use, options }) => ({
    if: { properties: { stage: { const: stage }, use: { const: use } }, required: ['stage', 'use'] },
    // biome-ignore lint/suspicious/noThenProperty: a key of JSON Schema
    then: { properties: { with: embedded(options, `step:${stage}:${use}`) } },
  }));
  const properties = { ...step.properties, use: { ...step.properties?.use, anyOf: [...uses, { type: 'string' }] } };
  return { ...step, properties, allOf: conditions };
}

/** A schema within another: its own references must find their definitions. */
function embedded(schema: z.ZodType, id: string): JsonSchema {
  const { $schema: _, ...json } = jsonSchemaOf(schema);
  return { ...('$defs' in json && { $id: `largeforge:${encodeURIComponent(id)}` }), ...withReferences(json) };
}

/** Wherever a value is wanted, text with a ${...} in it may stand for it. */
function withReferences(schema: JsonSchema): JsonSchema {
  const inner = mapParts(schema);
  const texts = schema.type === 'string' && !schema.pattern && !schema.format && !schema.maxLength && !schema.enum;
  const isValue = (typeof schema.type === 'string' && schema.type !== 'object') || schema.enum || 'const' in schema;
  if (!isValue || texts) return inner;
  const { description, title, default: fallback, ...rest } = inner;
  const annotations = { description, title, default: fallback };
  const present = Object.fromEntries(Object.entries(annotations).filter(([, value]) => value !== undefined));
  return { ...present, anyOf: [rest, { type: 'string', pattern: '\\$\\{' }] };
}

function mapParts(schema: JsonSchema): JsonSchema {
  const parts: Record<string, unknown> = { ...schema };
  for (const key of ['properties', '$defs'] as const) {
    if (schema[key]) parts[key] = mapSchemas(schema[key] as Record<string, JsonSchema>, withReferences);
  }
  for (const key of ['items', 'additionalProperties'] as const) {
    if (typeof schema[key] === 'object') parts[key] = withReferences(schema[key]);
  }
  for (const key of ['prefixItems', 'anyOf', 'oneOf', 'allOf'] as const) {
    // The alternatives of a union are tried as they are: a text may fit several of them.
    if (schema[key]) parts[key] = schema[key].map(key === 'oneOf' ? mapParts : withReferences);
  }
  return parts;
}

function mapSchemas(
  schemas: Readonly<Record<string, JsonSchema>>,
  fn: (schema: JsonSchema) => JsonSchema,
): Record<string, JsonSchema> {
  return Object.fromEntries(Object.entries(schemas).map(([key, schema]) => [key, fn(schema)]));
}
