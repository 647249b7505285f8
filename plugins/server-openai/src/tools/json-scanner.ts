/** Finds the end of one JSON value in text that arrives in pieces. */
export class JsonValueScanner {
  private depth = 0;
  private inString = false;
  private escaped = false;
  private started = false;
  private bare = false;

  /** How many characters of `text` belong to the value, and whether it ended with them. */
  scan(text: string): { length: number; complete: boolean } {
    for (let i = 0; i < text.length; i++) {
      const character = text[i]!;
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (character === '\\') this.escaped = true;
        else if (character === '"') {
          this.inString = false;
          if (this.depth === 0) return { length: i + 1, complete: true };
        }
        continue;
      }
      if (this.bare) {
        if (/[\s,}\]]/.test(character)) return { length: i, complete: true };
        continue;
      }
      if (character === '"') this.inString = true;
      else if (character === '{' || character === '[') this.depth++;
      else if (character === '}' || character === ']') {
        this.depth--;
        if (this.depth <= 0) return { length: i + 1, complete: true };
      } else if (!this.started && /\S/.test(character)) this.bare = true;
      if (/\S/.test(character)) this.started = true;
    }
    return { length: text.length, complete: false };
  }
}
