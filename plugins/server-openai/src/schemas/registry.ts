import { z } from 'zod';

/** Names of the schemas in the OpenAPI document. */
export const schemaRegistry = z.registry<{ id: string }>();

/** Gives a schema its name in the OpenAPI document. */
export function named<T extends z.ZodType>(id: string, schema: T): T {
  schemaRegistry.add(schema, { id });
  return schema;
}
