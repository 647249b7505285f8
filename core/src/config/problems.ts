import type { z } from 'zod';
import { didYouMean } from '../kernel/nearest.js';
import { type ConfigPath, formatPath, valueAt } from './path.js';

export interface Problem {
  readonly where?: string;
  readonly path: string;
  readonly text: string;
}

/** How a value looks in an error. Never more than a glimpse; a secret not at all. */
export function glimpse(value: unknown, path: ConfigPath): string {
  if (value === undefined) return 'nothing';
  if (isSecretPath(path)) return 'a secret value';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null)
    return `a map with ${Object.keys(value).join(', ') || 'nothing in it'}`;
  const text = JSON.stringify(value);
  return `${value === null ? '' : `the ${typeof value} `}${text.length > 60 ? `${text.slice(0, 57)}...` : text}`;
}

/** Keys whose values are secrets by their name. */
export function isSecretPath(path: ConfigPath): boolean {
  return path.some(
    (part) =>
      typeof part === 'string' &&
      /(api[-_]?keys?|admin[-_]?keys?|passwords?|passphrase|secrets?|(^|[-_])tokens?$|accessToken)$/i.test(part),
  );
}

interface Place {
  /** Where the checked value stands in the config. */
  readonly base: ConfigPath;
  /** How the base is called in messages, when that differs: `plugins[2] (@largeforge/quant-gptq)`. */
  readonly label?: string;
  readonly root: unknown;
  locate(path: ConfigPath): string | undefined;
}

/** Turns zod's issues into problems with a place, what was expected, what was found, and a near miss. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], place: Place): Problem[] {
  return issues.flatMap((issue) => {
    const inner = issue.path as (string | number)[];
    const absolute = [...place.base, ...inner];
    const name = (path: ConfigPath) => {
      const text = place.label === undefined ? formatPath([...place.base, ...path]) : formatPath(path);
      if (place.label === undefined) return text;
      return path.length === 0 ? place.label : `${place.label}${typeof path[0] === 'number' ? '' : '.'}${text}`;
    };
    const found = () => glimpse(valueAt(place.root, absolute), absolute);
    const one = (path: ConfigPath, text: string): Problem => ({
      where: place.locate([...place.base, ...path]),
      path: name(path),
      text,
    });
    switch (issue.code) {
      case 'unrecognized_keys':
        return issue.keys.map((key) =>
          one([...inner, key], `unknown key.${didYouMean(key, knownKeys(issue))}${listKeys(issue)}`),
        );
      case 'invalid_type':
        return [
          one(
            inner,
            valueAt(place.root, absolute) === undefined
              ? `required: expected ${expectation(issue.expected)}`
              : `expected ${expectation(issue.expected)}, found ${found()}`,
          ),
        ];
      case 'invalid_value':
        return [
          one(
            inner,
            `expected ${issue.values.map((v) => JSON.stringify(v)).join(' or ')}, found ${found()}.${didYouMean(String(valueAt(place.root, absolute)), issue.values.map(String))}`,
          ),
        ];
      case 'invalid_union': {
        if (issue.message && issue.message !== 'Invalid input')
          return [one(inner, `${issue.message}, found ${found()}`)];
        // The branch that got furthest says most.
        const branches = issue.errors.map((branch) =>
          problemsOf(branch.map((i) => ({ ...i, path: [...inner, ...i.path] })) as z.core.$ZodIssue[], place),
        );
        branches.sort(
          (a, b) => Math.max(...b.map((p) => p.path.length), 0) - Math.max(...a.map((p) => p.path.length), 0),
        );
        return branches[0] ?? [one(inner, `no alternative fits ${found()}`)];
      }
      default:
        return [one(inner, `${issue.message}, found ${found()}`)];
    }
  });
}

const expectation = (type: string) =>
  ({
    array: 'a list',
    object: 'a map',
    record: 'a map',
    string: 'a string',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
    tuple: 'a list',
  })[type] ?? type;

// zod's issue does not carry the keys that are known; `withKnownKeys` adds them.
const knownKeys = (issue: object): readonly string[] => (issue as { known?: string[] }).known ?? [];
const listKeys = (issue: object) =>
  knownKeys(issue).length > 0 && knownKeys(issue).length <= 24 ? ` Known: ${knownKeys(issue).join(', ')}.` : '';

/** Adds to each issue of unknown keys the keys that the schema knows at that place. */
export function withKnownKeys(issues: readonly z.core.$ZodIssue[], schema: z.ZodType): z.core.$ZodIssue[] {
  return issues.map((issue) =>
    issue.code === 'unrecognized_keys'
      ? Object.assign(issue, { known: keysAt(schema, issue.path as ConfigPath) })
      : issue,
  );
}

/** The schema inside of wrappers such as default, optional and pipe. */
export function unwrap(schema: z.ZodType): z.ZodType {
  const def = schema.def as { innerType?: z.ZodType; in?: z.ZodType };
  if (def.innerType) return unwrap(def.innerType);
  if (def.in && schema.def.type === 'pipe') return unwrap(def.in);
  return schema;
}

function keysAt(schema: z.ZodType, path: ConfigPath): string[] {
  const inner = unwrap(schema);
  const def = inner.def as {
    type: string;
    shape?: Record<string, z.ZodType>;
    element?: z.ZodType;
    options?: z.ZodType[];
    items?: z.ZodType[];
    valueType?: z.ZodType;
  };
  if (def.type === 'union') return [...new Set(def.options!.flatMap((option) => keysAt(option, path)))];
  if (path.length === 0) return Object.keys(def.shape ?? {});
  const [head, ...rest] = path;
  const next = def.shape?.[head as string] ?? def.element ?? def.items?.[head as number] ?? def.valueType;
  return next ? keysAt(next, rest) : [];
}
