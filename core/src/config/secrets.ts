import type { ConfigPath } from './path.js';

export const MASK = '[secret]';

/** Shorter texts occur everywhere: masking them would garble the output and hide nothing. */
const SHORTEST = 4;

const secretKey =
  /^(.*_)?(api_?keys?|(admin|access|private|secret|signing|master)_?keys?|(client_?)?secrets?|passwords?|passwd|passphrase|credentials?|authorization|cookie|(auth|access|refresh|bearer|api|hf|hub|session|github|wandb)_?tokens?|token)$/;

/**
 * Whether a key or a variable is a secret by its name: apiKeys, HF_TOKEN, dbPassword ... Not every "token" is one here:
 * maxTokens and padToken are not.
 */
export function isSecretName(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toLowerCase();
  return !/(^|_)(max|min|pad|eos|bos|unk|stop|new|num|add|special|mask|sep|cls)_/.test(words) && secretKey.test(words);
}

/** Whether a value at a path is a secret by the name of a key on the way. */
export function isSecretPath(path: ConfigPath): boolean {
  return path.some((part) => typeof part === 'string' && isSecretName(part));
}

/** A copy of what is to be logged, with the values of secret keys masked. Class instances stay as they are. */
export function maskSecretKeys(value: unknown, depth = 8): unknown {
  if (Array.isArray(value)) return depth > 0 ? value.map((item) => maskSecretKeys(item, depth - 1)) : value;
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  if (depth === 0) return MASK; // too deep to be looked through
  const mask = (key: string, child: unknown) => {
    const hide = isSecretName(key) && typeof child !== 'number' && typeof child !== 'boolean';
    return hide && child !== undefined ? MASK : maskSecretKeys(child, depth - 1);
  };
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, mask(key, child)]));
}

/** The texts that must not appear in anything that is printed or written. */
export class Secrets {
  private readonly texts = new Set<string>();
  private pattern: RegExp | undefined;

  add(value: unknown): void {
    if (Array.isArray(value)) for (const item of value) this.add(item);
    else if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) this.add(item);
    else if (typeof value === 'string' || typeof value === 'number') this.addText(String(value));
  }

  /** The text with every secret in it masked. */
  redact(text: string): string {
    if (this.texts.size === 0) return text;
    // The longest first: one secret may be part of another.
    this.pattern ??= new RegExp(
      [...this.texts]
        .sort((a, b) => b.length - a.length)
        .map(literal)
        .join('|'),
      'g',
    );
    return text.replace(this.pattern, MASK);
  }

  private addText(text: string): void {
    if (text.length < SHORTEST || this.texts.has(text)) return;
    this.texts.add(text);
    // As it stands in JSON, and in a URL.
    this.texts.add(JSON.stringify(text).slice(1, -1));
    this.texts.add(encodeURIComponent(text));
    this.pattern = undefined;
  }
}

const literal = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
