/** How token ids become bytes, by the kind of a tokenizer's decoder. */
export type TokenBytes = (id: number) => Uint8Array;

/** GPT-2's printable stand-ins for bytes: character -> byte. */
function byteOfCharacter(): Map<string, number> {
  const map = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    map.set(String.fromCodePoint(printable ? byte : next++), byte);
  }
  return map;
}

export interface Vocabulary {
  /** Text of each id as the tokenizer's model spells it; undefined for ids that are not used. */
  readonly pieces: readonly (string | undefined)[];
  /** Added tokens stand for themselves. */
  readonly added: ReadonlySet<number>;
}

/** Byte-level BPE: every character of a piece is a byte. */
export function byteLevelBytes({ pieces, added }: Vocabulary): TokenBytes {
  const byteOf = byteOfCharacter();
  return (id) => {
    const piece = pieces[id] ?? '';
    if (added.has(id)) return Buffer.from(piece, 'utf8');
    const bytes: number[] = [];
    for (const character of piece) {
      const byte = byteOf.get(character);
      // A character outside of the alphabet stands for itself, as the library has it.
      if (byte === undefined) bytes.push(...Buffer.from(character, 'utf8'));
      else bytes.push(byte);
    }
    return Uint8Array.from(bytes);
  };
}

/** SentencePiece: "\u2581" is a space, "<0x0A>" a byte. */
export function sentencePieceBytes({ pieces, added }: Vocabulary): TokenBytes {
  return (id) => {
    const piece = pieces[id] ?? '';
    const byte = piece.match(/^<0x([0-9A-Fa-f]{2})>$/);
    if (byte) return Uint8Array.of(Number.parseInt(byte[1]!, 16));
    return Buffer.from(added.has(id) ? piece : piece.replaceAll('\u2581', ' '), 'utf8');
  };
}

/**
 * Turns a stream of ids into text. A character whose bytes are spread over several tokens is emitted when it is whole;
 * bytes that never become one are replaced, as UTF-8 decoders do.
 */
export class StreamDecoder {
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  private first = true;

  constructor(
    private readonly bytesOf: TokenBytes,
    private readonly skipped: ReadonlySet<number>,
    /** A leading space that the tokenizer itself had put there. */
    private readonly stripLeadingSpace: boolean,
  ) {}

  push(id: number): string {
    if (this.skipped.has(id)) return '';
    let text = this.decoder.decode(this.bytesOf(id), { stream: true });
    if (this.first && text.length > 0) {
      if (this.stripLeadingSpace && text.startsWith(' ')) text = text.slice(1);
      this.first = false;
    }
    return text;
  }

  /** What is left at the end. */
  flush(): string {
    return this.decoder.decode();
  }
}
