import { JsonValueScanner } from './json-scanner.js';

/** A piece of what a model says. */
export type SpokenPart =
  | { readonly type: 'text'; readonly text: string }
  /** A call begins. */
  | { readonly type: 'call'; readonly name: string }
  /** More of the arguments of the call that began last. */
  | { readonly type: 'arguments'; readonly text: string };

/** What comes before the arguments: each is a literal, one of several, or a JSON string, with spaces between. */
const beginning = [['{'], ['"name"'], [':'], 'string', [','], ['"arguments"', '"parameters"'], [':']] as const;
const wholeString = /^"(?:[^"\\]|\\.)*"/;
const openString = /^"(?:[^"\\]|\\.)*\\?$/;

/** The name of the call that a text begins with and where its arguments begin; 'open' while that may still come. */
function readBeginning(text: string): { name: string; end: number } | 'open' | 'none' {
  let at = 0;
  let name: string | undefined;
  const skipSpaces = () => {
    while (at < text.length && /\s/.test(text[at]!)) at++;
  };
  for (const expected of beginning) {
    skipSpaces();
    const rest = text.slice(at);
    if (rest === '') return 'open';
    if (expected === 'string') {
      const match = wholeString.exec(rest);
      if (!match) return openString.test(rest) ? 'open' : 'none';
      name = readString(match[0]);
      at += match[0].length;
      continue;
    }
    const literal = expected.find((candidate) => rest.startsWith(candidate));
    if (literal === undefined) return expected.some((candidate) => candidate.startsWith(rest)) ? 'open' : 'none';
    at += literal.length;
  }
  skipSpaces();
  if (at === text.length) return 'open';
  return name !== undefined && /["{]/.test(text[at]!) ? { name, end: at } : 'none';
}

/**
 * Reads one call, {"name": ..., "arguments": {...}}, from text that arrives in pieces: the name when it is there, the
 * arguments as they come, and the end.
 */
export class CallReader {
  private held = '';
  private scanner: JsonValueScanner | undefined;
  /** Arguments that are a string with JSON in it, as some models write them, are kept until they are whole. */
  private quoted: string | undefined;
  private closing = false;

  constructor(private readonly known: ReadonlySet<string>) {}

  /** `rest` is what follows the call, once it has ended; `refused` is text that turned out to be no call. */
  push(text: string): { parts: SpokenPart[]; rest?: string; refused?: string } {
    const parts: SpokenPart[] = [];
    this.held += text;
    if (!this.scanner && !this.closing) {
      const begun = readBeginning(this.held);
      if (begun === 'open') return { parts };
      if (begun === 'none' || !this.known.has(begun.name)) return { parts, refused: this.held };
      parts.push({ type: 'call', name: begun.name });
      this.held = this.held.slice(begun.end);
      this.scanner = new JsonValueScanner();
      if (this.held.startsWith('"')) this.quoted = '';
    }
    if (this.scanner) {
      const { length, complete } = this.scanner.scan(this.held);
      const piece = this.held.slice(0, length);
      this.held = this.held.slice(length);
      if (this.quoted === undefined) {
        if (piece) parts.push({ type: 'arguments', text: piece });
      } else {
        this.quoted += piece;
        if (complete) parts.push({ type: 'arguments', text: readString(this.quoted) ?? this.quoted });
      }
      if (!complete) return { parts };
      this.scanner = undefined;
      this.closing = true;
    }
    const end = /^\s*\}/.exec(this.held);
    if (end) return { parts, rest: this.held.slice(end[0].length) };
    return { parts };
  }

  /** What was held back when the text ended here: nothing once the call has begun. */
  finish(): string {
    return this.scanner || this.closing ? '' : this.held;
  }
}

function readString(json: string): string | undefined {
  try {
    return JSON.parse(json) as string;
  } catch {
    return undefined;
  }
}
