import type { z } from 'zod';
import { didYouMean } from '../kernel/nearest.js';
import { type ConfigPath, formatPath } from './path.js';
import { isWholeNumber, knownKeys } from './schema-paths.js';
import { formatSource, type Source } from './source.js';
import { type ConfigNode, childOf, nearestSource, nodeAt, toValue } from './tree.js';

/** One thing that is wrong: where, at which path, and what was expected and found. */
export interface Problem {
  readonly where?: string;
  readonly path: string;
  readonly text: string;
  readonly source?: Source;
}

/** The checked part of a config. */
export interface ProblemPlace {
  readonly node: ConfigNode;
  readonly schema: z.ZodType;
  /** How it is called: `plugins[2] (@largeforge/quant-gptq)`; empty for the whole config. */
  readonly label: string;
  readonly cwd: string;
  /** False for values that come from no file and no flag: their place says nothing. */
  readonly located: boolean;
  isSecret(path: ConfigPath): boolean;
}

type Issue = z.core.$ZodIssue;

/** Turns zod's issues into problems with a place, what was expected, what was found, and a near miss; from top to bottom. */
export function problemsOf(issues: readonly Issue[], place: ProblemPlace): Problem[] {
  const problems = issues.flatMap((issue) => new Describer(issue, place).problems());
  return problems.sort((a, b) => {
    if (a.source?.file === undefined || a.source.file !== b.source?.file) return 0;
    return (a.source.line ?? 0) - (b.source.line ?? 0) || (a.source.column ?? 0) - (b.source.column ?? 0);
  });
}

class Describer {
  private readonly path: ConfigPath;

  constructor(
    private readonly issue: Issue,
    private readonly place: ProblemPlace,
  ) {
    this.path = issue.path as (string | number)[];
  }

  problems(): Problem[] {
    const { issue, path, place } = this;
    if (issue.code === 'unrecognized_keys') {
      const known = knownKeys(place.schema, path);
      return issue.keys.map((key) => {
        const keys = known.length > 0 && known.length <= 20 ? ` Known: ${known.join(', ')}` : '';
        return this.problem([...path, key], `unknown key.${didYouMean(key, known)}${keys}`, true);
      });
    }
    if (issue.code === 'invalid_union') return this.union(issue.errors, issue.message);
    const found = nodeAt(place.node, path);
    if (!found) return [this.problem(path, `missing: expected ${this.expected()}`)];
    const near = issue.code === 'invalid_value' ? didYouMean(String(toValue(found)), issue.values.map(String)) : '';
    return [this.problem(path, `expected ${this.expected()}, found ${this.glimpse(found)}${near && `.${near}`}`)];
  }

  /** The alternative that the value was probably meant to be: the one that went wrong deepest inside of it. */
  private union(branches: readonly (readonly Issue[])[], message: string): Problem[] {
    const { path, place } = this;
    const depth = (branch: readonly Issue[]) =>
      Math.max(0, ...branch.map((issue) => issue.path.length + (issue.code === 'unrecognized_keys' ? 1 : 0)));
    const deepest = Math.max(0, ...branches.map(depth));
    if (deepest > 0) {
      const branch = branches.find((each) => depth(each) === deepest)!;
      const inner = branch.map((issue) => ({ ...issue, path: [...path, ...issue.path] }) as Issue);
      return problemsOf(inner, place);
    }
    const found = nodeAt(place.node, path);
    const inner = branches.map((branch) => branch[0]).filter((issue) => issue !== undefined);
    const expected = [...new Set(inner.map((issue) => new Describer(issue, place).expected()))];
    const own = message !== 'Invalid input' && message !== '';
    const what = own ? message.replace(/^expected /, '') : expected.join(', or ') || 'another value';
    return [this.problem(path, found ? `expected ${what}, found ${this.glimpse(found)}` : `missing: expected ${what}`)];
  }

  private expected(): string {
    const { issue } = this;
    const custom = issue.message.startsWith('expected ') ? issue.message.slice('expected '.length) : undefined;
    switch (issue.code) {
      case 'invalid_type':
        if (issue.expected === 'number' && isWholeNumber(this.place.schema, this.path)) return typeNames.int!;
        return custom ?? typeNames[issue.expected] ?? issue.expected;
      case 'invalid_value':
        return issue.values.map((value) => JSON.stringify(value)).join(' or ');
      case 'too_small':
      case 'too_big': {
        const [bound, word] =
          issue.code === 'too_small'
            ? [issue.minimum, issue.inclusive === false ? 'more than' : 'at least']
            : [issue.maximum, issue.inclusive === false ? 'less than' : 'at most'];
        return custom ?? `${word} ${bound}${unitNames[issue.origin] ?? ''}`;
      }
      case 'not_multiple_of':
        return custom ?? `a multiple of ${issue.divisor}`;
      case 'invalid_format':
        return custom ?? (issue.message.startsWith('Invalid') ? `a text of the form "${issue.format}"` : issue.message);
      default:
        return custom ?? issue.message;
    }
  }

  private problem(path: ConfigPath, text: string, atKey = false): Problem {
    const { node, cwd, label, located } = this.place;
    const parent = nodeAt(node, path.slice(0, -1));
    const key = atKey && parent ? childOf(parent, path.at(-1)!)?.keySource : undefined;
    const source = located ? (key ?? nearestSource(node, path)) : undefined;
    const where = source && formatSource(source, cwd);
    if (label === '') return { where, path: formatPath(path), text, source };
    const inner = path.length === 0 ? '' : formatPath(path);
    return { where, path: `${label}${inner && !inner.startsWith('[') ? '.' : ''}${inner}`, text, source };
  }

  /** How a value looks in an error: never more than a glimpse, and a secret not at all. */
  private glimpse(node: ConfigNode): string {
    if (this.place.isSecret(this.path)) return 'a secret (not shown)';
    if (node.kind === 'list') return `a list of ${node.items.length}`;
    if (node.kind === 'map')
      return node.entries.size === 0 ? 'an empty map' : `a map of ${[...node.entries.keys()].join(', ')}`;
    const { value } = node;
    if (value === null || value === undefined) return 'nothing';
    if (typeof value === 'object' || typeof value === 'function') return `a ${typeof value} of the program`;
    const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
    return `the ${typeof value} ${text.length > 60 ? `${text.slice(0, 57)}...` : text}`;
  }
}

const typeNames: Readonly<Record<string, string>> = {
  array: 'a list',
  tuple: 'a list',
  object: 'a map',
  record: 'a map',
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  null: 'nothing',
};

const unitNames: Readonly<Record<string, string>> = { string: ' characters', array: ' entries', map: ' entries' };
