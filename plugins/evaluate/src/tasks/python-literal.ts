/** Values as Python writes them, since task files are written for templates that Python renders. */

/** `str(value)`: strings as they are, the rest as `repr` has it. */
export function pythonText(value: unknown): string {
  return typeof value === 'string' ? value : pythonRepresentation(value);
}

/** `repr(value)` of what JSON can hold. */
export function pythonRepresentation(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value)) return `[${value.map(pythonRepresentation).join(', ')}]`;
  if (typeof value === 'object') {
    const entries = Object.entries(value).map(([k, v]) => `${pythonRepresentation(k)}: ${pythonRepresentation(v)}`);
    return `{${entries.join(', ')}}`;
  }
  const text = String(value);
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t')
    .replaceAll(quote, `\\${quote}`);
  return `${quote}${escaped}${quote}`;
}

/** `ast.literal_eval(text)` of lists, strings, numbers, True, False and None. Throws what is wrong with others. */
export function parsePythonLiteral(text: string): unknown {
  const reader = new LiteralReader(text);
  const value = reader.value();
  reader.end();
  return value;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '\n': '', b: '\b', f: '\f' };
const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['True', true],
  ['False', false],
  ['None', null],
]);

class LiteralReader {
  private at = 0;

  constructor(private readonly text: string) {}

  value(): unknown {
    this.space();
    const start = this.text[this.at];
    if (start === '[') return this.list(']');
    if (start === '(') return this.list(')');
    if (start === '"' || start === "'") return this.string(start);
    const [word] = /^[\w.+-]+/.exec(this.text.slice(this.at)) ?? [''];
    this.at += word.length;
    if (WORDS.has(word)) return WORDS.get(word);
    if (word !== '' && Number.isFinite(Number(word))) return Number(word);
    return this.fail();
  }

  end(): void {
    this.space();
    if (this.at < this.text.length) this.fail();
  }

  private list(close: string): unknown[] {
    const values: unknown[] = [];
    this.at++;
    for (;;) {
      this.space();
      if (this.text[this.at] === close) {
        this.at++;
        return values;
      }
      values.push(this.value());
      this.space();
      if (this.text[this.at] === ',') this.at++;
      else if (this.text[this.at] !== close) this.fail();
    }
  }

  private string(quote: string): string {
    let value = '';
    for (this.at++; this.at < this.text.length; this.at++) {
      const character = this.text[this.at]!;
      if (character === quote) {
        this.at++;
        return value;
      }
      if (character !== '\\') {
        value += character;
        continue;
      }
      const escaped = this.text[++this.at] ?? this.fail();
      const hex = { x: 2, u: 4, U: 8 }[escaped];
      if (hex === undefined) value += ESCAPES[escaped] ?? escaped;
      else {
        value += String.fromCodePoint(Number.parseInt(this.text.slice(this.at + 1, this.at + 1 + hex), 16));
        this.at += hex;
      }
    }
    return this.fail();
  }

  private space(): void {
    while (/\s/.test(this.text[this.at] ?? '')) this.at++;
  }

  private fail(): never {
    throw new Error(`expected a list, a string or a number at character ${this.at} of ${JSON.stringify(this.text)}`);
  }
}
