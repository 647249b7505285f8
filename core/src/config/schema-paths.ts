import { z } from 'zod';
import type { ConfigPath } from './path.js';

/** The part of JSON Schema that zod writes and that leads from a value to its parts. */
export interface JsonSchema {
  readonly [key: string]: unknown;
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema | boolean;
  readonly prefixItems?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
}

const converted = new WeakMap<z.ZodType, JsonSchema>();

/** What a schema accepts, as JSON Schema with the marks of `.meta()`; types that JSON cannot say accept anything. */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  let json = converted.get(schema);
  if (!json) {
    json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
    converted.set(schema, json);
  }
  return json;
}

/** A schema and all that stand for it: what it refers to, and its alternatives. */
function alternatives(schema: JsonSchema, root: JsonSchema, seen = new Set<JsonSchema>()): Set<JsonSchema> {
  if (seen.has(schema)) return seen;
  seen.add(schema);
  if (schema.$ref) {
    const parts = schema.$ref.split('/').slice(1);
    const target = parts.reduce<JsonSchema | undefined>((at, part) => at?.[part] as JsonSchema | undefined, root);
    if (target) alternatives(target, root, seen);
  }
  for (const other of [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])]) {
    alternatives(other, root, seen);
  }
  return seen;
}

function step(schemas: ReadonlySet<JsonSchema>, part: string | number, root: JsonSchema): Set<JsonSchema> {
  const next = new Set<JsonSchema>();
  for (const { properties, additionalProperties, items, prefixItems } of schemas) {
    const key = String(part);
    const own = properties && Object.hasOwn(properties, key) ? properties[key] : undefined;
    const child = typeof part === 'number' ? (prefixItems?.[part] ?? items) : (own ?? additionalProperties);
    if (typeof child === 'object') alternatives(child, root, next);
  }
  return next;
}

/** Whether the schema at a path, or one above it, carries a mark such as `reloadable`. */
export function isMarked(schema: z.ZodType, path: ConfigPath, mark: 'secret' | 'reloadable'): boolean {
  const root = jsonSchemaOf(schema);
  let schemas = alternatives(root, root);
  const marked = () => [...schemas].some((each) => each[mark] === true);
  for (const part of path) {
    if (marked()) return true;
    schemas = step(schemas, part, root);
  }
  return marked();
}

/** Keys that the schema knows at a path. */
export function knownKeys(schema: z.ZodType, path: ConfigPath): string[] {
  return [...new Set(schemasAt(schema, path).flatMap((each) => Object.keys(each.properties ?? {})))];
}

/** Whether only whole numbers are allowed at a path, among numbers. */
export function isWholeNumber(schema: z.ZodType, path: ConfigPath): boolean {
  const types = schemasAt(schema, path).map(({ type }) => type);
  return types.includes('integer') && !types.includes('number');
}

function schemasAt(schema: z.ZodType, path: ConfigPath): JsonSchema[] {
  const root = jsonSchemaOf(schema);
  let schemas = alternatives(root, root);
  for (const part of path) schemas = step(schemas, part, root);
  return [...schemas];
}
