import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { pythonText } from './python-literal.js';

type Node = { type: string } & Record<string, unknown>;

const STATEMENTS = new Set([
  'If',
  'For',
  'Set',
  'Macro',
  'Break',
  'Continue',
  'Comment',
  'CallStatement',
  'FilterStatement',
]);
/** Methods of Python's strings and lists that the interpreter lacks. */
const METHODS = ['index', 'find', 'count'];
const FILTERS = ['regex_replace'];

/**
 * A Jinja template over the fields of a document, rendered as lm-evaluation-harness renders it: values are written as
 * Python writes them, a missing field is an error, and white space stays as it is.
 */
export class DocumentTemplate {
  private readonly program: Node;

  /** Throws what is wrong with the syntax. */
  constructor(readonly source: string) {
    // One line break at the end is dropped, and lm-evaluation-harness keeps it.
    const kept = source.endsWith('\n') ? `${source}\n` : source;
    this.program = withText(withMethods(parse(tokenize(kept)) as unknown as Node) as Node);
  }

  render(document: Readonly<Record<string, unknown>>): string {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...functions, ...document })) {
      environment.set(name, withoutUndefined(value));
    }
    return String(new Interpreter(environment).run(this.program as never).value);
  }
}

/** The interpreter hands nested values over in its own classes. */
interface RuntimeValue {
  readonly value: unknown;
}

function plain(value: unknown): unknown {
  if (value instanceof Map)
    return Object.fromEntries(Array.from(value, ([k, v]) => [k, plain((v as RuntimeValue).value)]));
  return Array.isArray(value) ? value.map((item) => plain((item as RuntimeValue).value)) : value;
}

const functions = {
  True: true,
  False: false,
  None: null,
  range: (...bounds: number[]) => {
    const [start, stop, step = 1] = bounds.length === 1 ? [0, bounds[0]!] : bounds;
    return Array.from({ length: Math.max(0, Math.ceil((stop! - start!) / step)) }, (_, i) => start! + i * step);
  },
  __text: (value: unknown, defined: boolean) => {
    if (!defined) throw new Error('it uses a field that the document does not have');
    return pythonText(plain(value));
  },
  __index: (sequence: unknown, item: unknown) => {
    const at = position(sequence, item);
    if (at < 0) throw new Error(`${pythonText(item)} is not in ${pythonText(plain(sequence))}`);
    return at;
  },
  __find: position,
  __count: (sequence: unknown, item: unknown) =>
    typeof sequence === 'string'
      ? sequence.split(String(item)).length - 1
      : (plain(sequence) as unknown[]).filter((each) => each === item).length,
  __regex_replace: (text: string, pattern: string, replacement: string) =>
    text.replace(new RegExp(pattern, 'gu'), replacement.replace(/\\(\d)/g, '$$$1')),
};

function position(sequence: unknown, item: unknown): number {
  if (typeof sequence === 'string') return sequence.indexOf(String(item));
  if (!Array.isArray(sequence)) throw new Error('index() is of lists and strings');
  return (plain(sequence) as unknown[]).indexOf(item);
}

/** Turns `list.index(x)` and `text | regex_replace(p, r)` into calls of functions. */
function withMethods(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withMethods);
  if (node instanceof Map) return new Map(Array.from(node, ([k, v]) => [withMethods(k), withMethods(v)]));
  if (typeof node !== 'object' || node === null) return node;
  const entries = Object.entries(node).map(([key, value]) => [key, withMethods(value)]);
  const copy = Object.assign(Object.create(Object.getPrototypeOf(node)), Object.fromEntries(entries)) as Node;
  const callee = copy.callee as Node | undefined;
  if (copy.type === 'CallExpression' && callee?.type === 'MemberExpression' && callee.computed === false) {
    const name = (callee.property as Node).value as string;
    if (METHODS.includes(name)) return call(`__${name}`, [callee.object, ...(copy.args as unknown[])]);
  }
  if (copy.type === 'FilterExpression') {
    const filter = copy.filter as Node;
    const name = (filter.callee as Node | undefined)?.value as string;
    if (FILTERS.includes(name)) return call(`__${name}`, [copy.operand, ...(filter.args as unknown[])]);
  }
  return copy;
}

/** Writes every value that the template puts out through `__text`. */
function withText(node: Node): Node {
  for (const key of ['body', 'alternate', 'defaultBlock']) {
    const body = node[key];
    if (Array.isArray(body)) {
      node[key] = body.map((each: Node) =>
        STATEMENTS.has(each.type) ? withText(each) : each.type === 'StringLiteral' ? each : written(each),
      );
    }
  }
  return node;
}

function written(expression: Node): Node {
  const defined = { type: 'Identifier', value: 'defined' };
  return call('__text', [expression, { type: 'TestExpression', operand: expression, negate: false, test: defined }]);
}

function call(name: string, args: unknown[]): Node {
  return { type: 'CallExpression', callee: { type: 'Identifier', value: name }, args };
}

function withoutUndefined(value: unknown): unknown {
  return value === undefined ? null : value;
}
