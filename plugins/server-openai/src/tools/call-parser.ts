import { CallReader, type SpokenPart } from './call-reader.js';

/** Tells text and tool calls apart in what a model says, as it says it. */
export interface CallParser {
  push(text: string): SpokenPart[];
  /** The text has ended: what was held back. */
  finish(): SpokenPart[];
}

const text = (value: string): SpokenPart[] => (value ? [{ type: 'text', text: value }] : []);

/** Calls between `<tool_call>` and `</tool_call>`, anywhere in a text (Hermes 2 Pro, Qwen 2.5 and 3). */
export class TaggedCallParser implements CallParser {
  private held = '';
  private reader: CallReader | undefined;
  /** A call has ended, and its closing tag is due. */
  private closing = false;
  private afterCall = false;

  constructor(
    private readonly known: ReadonlySet<string>,
    private readonly open = '<tool_call>',
    private readonly close = '</tool_call>',
  ) {}

  push(piece: string): SpokenPart[] {
    const parts: SpokenPart[] = [];
    let more: string | undefined = piece;
    while (more !== undefined) {
      const { reader } = this;
      if (reader) {
        const { parts: read, rest, refused } = reader.push(more);
        parts.push(...read);
        more = undefined;
        if (refused !== undefined) {
          this.reader = undefined;
          parts.push(...text(this.open + refused));
        } else if (rest !== undefined) {
          this.reader = undefined;
          this.closing = true;
          more = rest;
        }
        continue;
      }
      this.held += more;
      more = undefined;
      if (this.closing) {
        const at = this.held.indexOf(this.close);
        if (at < 0) break;
        this.held = this.held.slice(at + this.close.length);
        this.closing = false;
        this.afterCall = true;
      }
      const at = this.held.indexOf(this.open);
      if (at >= 0) {
        parts.push(...this.outside(this.held.slice(0, at), true));
        more = this.held.slice(at + this.open.length);
        this.held = '';
        this.reader = new CallReader(this.known);
        continue;
      }
      const safe = this.held.length - overlap(this.held, this.open);
      const said = this.held.slice(0, safe);
      // Line ends before and between calls are no text of theirs.
      const kept = said.trimEnd();
      parts.push(...this.outside(kept, false));
      this.held = this.held.slice(kept.length);
    }
    return parts;
  }

  finish(): SpokenPart[] {
    if (this.closing) return [];
    const held = this.reader ? this.reader.finish() : this.held;
    const tag = this.reader && held ? this.open : '';
    return this.afterCall && held.trim() === '' ? [] : text(tag + held);
  }

  private outside(said: string, beforeCall: boolean): SpokenPart[] {
    const kept = beforeCall ? said.trimEnd() : said;
    if (this.afterCall && kept.trim() === '') return [];
    if (kept !== '') this.afterCall = false;
    return text(kept);
  }
}

/** A text that is one call or several and nothing else, `{"name": ..., "parameters": {...}}` (Llama 3.1 to 3.3). */
export class BareCallParser implements CallParser {
  private reader: CallReader | undefined;
  private plain = false;
  private called = false;

  constructor(private readonly known: ReadonlySet<string>) {}

  push(piece: string): SpokenPart[] {
    if (this.plain) return text(piece);
    const parts: SpokenPart[] = [];
    let more = piece;
    for (;;) {
      // Between calls.
      if (this.called && !this.reader) more = more.replace(/^[\s;,]+/, '');
      if (more === '') return parts;
      this.reader ??= new CallReader(this.known);
      const { parts: read, rest, refused } = this.reader.push(more);
      parts.push(...read);
      if (read.length > 0) this.called = true;
      if (refused !== undefined) {
        this.plain = true;
        this.reader = undefined;
        return [...parts, ...text(refused)];
      }
      if (rest === undefined) return parts;
      this.reader = undefined;
      more = rest;
    }
  }

  finish(): SpokenPart[] {
    const held = this.reader?.finish() ?? '';
    return this.called && held.trim() === '' ? [] : text(held);
  }
}

/** Length of the longest end of `value` that `tag` begins with. */
function overlap(value: string, tag: string): number {
  for (let length = Math.min(value.length, tag.length - 1); length > 0; length--) {
    if (tag.startsWith(value.slice(value.length - length))) return length;
  }
  return 0;
}
