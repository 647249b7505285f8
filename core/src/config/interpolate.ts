import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { reasonOf } from '../kernel/errors.js';
import { didYouMean } from '../kernel/nearest.js';
import { configErrors } from './errors.js';
import { type ConfigPath, formatPath } from './path.js';
import { isSecretName, type Secrets } from './secrets.js';
import { formatSource } from './source.js';
import { type ConfigNode, mapValues, type ValueNode } from './tree.js';

export interface InterpolateOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly baseDir: string;
  readonly cwd: string;
  readonly secrets: Secrets;
  /** Gets every file that is read. */
  readonly onFile: (path: string) => void;
}

const KINDS = ['env', 'file', 'steps'];

/**
 * Replaces `${env:NAME}`, `${env:NAME:-default}` and `${file:path}` (relative to the file that says it; one newline at
 * its end is dropped). `${steps.NAME.KEY}` stays for the pipeline; `$${` is a `${` of the text itself.
 */
export function interpolate(tree: ConfigNode, options: InterpolateOptions): ConfigNode {
  return mapValues(tree, (node, path) => {
    if (typeof node.value !== 'string' || !node.value.includes('${')) return node;
    const result = new Interpolation(node, path, options).run();
    if (result.secret) options.secrets.add(result.text);
    const whole = result.text !== node.value;
    return {
      ...node,
      value: result.text,
      ...(whole && { alternative: typed(result.text) }),
      ...(result.secret && { secret: true }),
    };
  });
}

/** The number or boolean that a text may stand for. */
function typed(text: string): unknown {
  const value: unknown = parseDocument(text, { logLevel: 'silent' }).toJS({ maxAliasCount: 0 });
  return typeof value === 'number' || typeof value === 'boolean' ? value : undefined;
}

class Interpolation {
  private secret = false;
  /** The pipeline itself turns `$${` into `${`, after it has looked for references. */
  private readonly inPipeline: boolean;

  constructor(
    private readonly node: ValueNode,
    private readonly path: ConfigPath,
    private readonly options: InterpolateOptions,
  ) {
    this.inPipeline = path[0] === 'pipeline' && path[2] === 'with';
  }

  run(): { text: string; secret: boolean } {
    return { text: this.expand(this.node.value as string), secret: this.secret };
  }

  private expand(text: string): string {
    let result = '';
    let position = 0;
    for (;;) {
      const start = text.indexOf('${', position);
      if (start < 0) return result + text.slice(position);
      result += text.slice(position, start);
      if (text[start - 1] === '$') {
        result += this.inPipeline ? '${' : '{';
        position = start + 2;
        continue;
      }
      const end = closingBrace(text, start + 2);
      if (end < 0) throw this.fail(text.slice(start), 'the closing } is missing');
      result += this.resolve(text.slice(start, end + 1), text.slice(start + 2, end));
      position = end + 1;
    }
  }

  private resolve(reference: string, body: string): string {
    if (/^steps\./.test(body)) {
      if (this.inPipeline) return reference;
      throw this.fail(reference, 'outputs of steps can be used in the `with` of later steps only');
    }
    const [, kind, rest] = /^(\w+):([\s\S]*)$/.exec(body) ?? [];
    if (kind === 'env') return this.environment(reference, rest!);
    if (kind === 'file') return this.file(reference, rest!);
    const word = kind ?? body.split('.')[0]!;
    const hint = /^[A-Z_][A-Z0-9_]*$/.test(body) ? ` Did you mean "\${env:${body}}"?` : didYouMean(word, KINDS);
    throw this.fail(reference, `a reference is \${env:NAME}, \${file:path} or \${steps.NAME.KEY}.${hint}`);
  }

  private environment(reference: string, body: string): string {
    const [, name, fallback] = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/.exec(body) ?? [];
    if (name === undefined) throw this.fail(reference, `"${body}" is no name of a variable`);
    if (isSecretName(name)) this.secret = true;
    const { env, secrets } = this.options;
    // As in a shell, `:-` also replaces an empty value.
    const value = fallback === undefined ? env[name] : env[name] || this.expand(fallback);
    if (value === undefined) {
      throw this.fail(reference, `the environment has no ${name}.${didYouMean(name, Object.keys(env))}`);
    }
    if (isSecretName(name)) secrets.add(value);
    return value;
  }

  private file(reference: string, body: string): string {
    const { baseDir, onFile } = this.options;
    const { file } = this.node.source;
    const path = resolve(file ? dirname(file) : baseDir, this.expand(body.trim()));
    onFile(path);
    try {
      return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      throw this.fail(reference, missing ? `there is no file ${path}` : reasonOf(error));
    }
  }

  private fail(reference: string, reason: string): Error {
    const where = formatSource(this.node.source, this.options.cwd);
    return configErrors.LF_CONFIG_REFERENCE({ where, path: formatPath(this.path), reference, reason });
  }
}

/** The brace that closes a reference; references may be nested in a default. */
function closingBrace(text: string, from: number): number {
  let depth = 1;
  for (let i = from; i < text.length; i++) {
    if (text.startsWith('${', i)) depth++;
    else if (text[i] === '}' && --depth === 0) return i;
  }
  return -1;
}
