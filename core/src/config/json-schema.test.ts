import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { bootWith } from '../application/application.fixture.js';
import { definePlugin } from '../application/context.js';
import { makeToy } from '../pipeline/pipeline.fixture.js';
import { reloadable, secret } from './schema.js';
import { isMarked, knownKeys } from './schema-paths.js';

interface Schema {
  [key: string]: Schema;
}

const tree: z.ZodType = z.lazy(() => z.strictObject({ children: z.array(tree).optional(), size: z.number() }));

describe('the JSON Schema of a config', () => {
  const load = async () => {
    const odd = definePlugin({
      name: 'odd',
      version: '1.0.0',
      apiVersion: 1,
      options: z.strictObject({ tree: tree.optional(), check: z.custom<Date>().optional() }),
      setup: (context) =>
        context.registries.trainer.add('broken', {
          load: () => {
            throw new Error('not here');
          },
        }),
    });
    const { application } = await bootWith('plugins: [toy, odd]\n', { known: [makeToy().plugin, odd] });
    return JSON.parse(JSON.stringify(await application.jsonSchema())) as Schema;
  };

  it('has the keys of a file, the options of every plugin, and those of every entry that a step can use', async () => {
    const schema = await load();
    expect(Object.keys(schema.properties!).sort()).toEqual(
      ['extends', 'profiles', 'plugins', 'backend', 'log', 'runDir', 'pipeline'].sort(),
    );
    expect(schema.additionalProperties).toBe(false);
    const text = JSON.stringify(schema.properties!.plugins);
    expect(text).toContain('"minimum"');
    const conditions = schema.properties!.pipeline!.items!.allOf as unknown as Schema[];
    const copy = conditions.find((each) => JSON.stringify(each.if).includes('"copy"'))!;
    expect(Object.keys(copy.then!.properties!.with!.properties!)).toEqual(['text', 'data', 'times']);
    expect(copy.then!.properties!.with!.required).toEqual(['text']);
    expect(JSON.stringify(conditions)).not.toContain('broken');
  });

  it('allows a reference where a number or a choice is wanted', async () => {
    const schema = await load();
    const conditions = schema.properties!.pipeline!.items!.allOf as unknown as Schema[];
    const copy = conditions.find((each) => JSON.stringify(each.if).includes('"copy"'))!;
    expect(copy.then!.properties!.with!.properties!.times).toMatchObject({
      default: 1,
      anyOf: [
        { type: 'integer', exclusiveMinimum: 0 },
        { type: 'string', pattern: '\\$\\{' },
      ],
    });
  });

  it('gives a recursive schema an id of its own, so that its references find their definitions', async () => {
    const text = JSON.stringify((await load()).properties!.plugins);
    expect(text).toContain('"$id":"largeforge:plugin%3Aodd"');
    expect(text).toContain('"$ref":"#/$defs/');
  });
});

describe('marks of a schema', () => {
  const schema = z.strictObject({
    keys: secret(z.array(z.string())).optional(),
    limits: reloadable(z.strictObject({ queue: z.number() })).default({ queue: 1 }),
    either: z.union([z.string(), z.strictObject({ code: secret(z.string()) })]),
    map: z.record(z.string(), z.strictObject({ pin: secret(z.number()) })),
    pair: z.tuple([z.string(), secret(z.string())]),
    tree: z.lazy(() => tree),
  });

  it('hold for what is below them, through wrappers, unions, lists and maps', () => {
    expect(isMarked(schema, ['keys', 3], 'secret')).toBe(true);
    expect(isMarked(schema, ['limits', 'queue'], 'reloadable')).toBe(true);
    expect(isMarked(schema, ['limits', 'queue'], 'secret')).toBe(false);
    expect(isMarked(schema, ['either', 'code'], 'secret')).toBe(true);
    expect(isMarked(schema, ['either'], 'secret')).toBe(false);
    expect(isMarked(schema, ['map', 'any', 'pin'], 'secret')).toBe(true);
    expect(isMarked(schema, ['pair', 1], 'secret')).toBe(true);
    expect(isMarked(schema, ['pair', 0], 'secret')).toBe(false);
    expect(isMarked(schema, ['constructor', 'prototype'], 'secret')).toBe(false);
  });

  it('come with the keys that are known at a path', () => {
    expect(knownKeys(schema, ['either'])).toEqual(['code']);
    expect(knownKeys(schema, ['tree', 'children', 0, 'children', 1])).toEqual(['children', 'size']);
    expect(knownKeys(schema, ['nothing'])).toEqual([]);
  });
});
