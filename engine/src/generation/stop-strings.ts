/** What can be emitted after a piece of text arrived. */
export interface StopResult {
  /** Text that can no longer be part of a stop string. */
  readonly text: string;
  /** The stop string that was completed; the stream ends. */
  readonly stop?: string;
}

/**
 * Finds stop strings in a stream of text pieces, whatever the cuts between the pieces. Text is withheld only while it
 * is a proper prefix of some stop string. Of several stop strings that match, the one that starts first wins; among
 * those, the longest.
 */
export class StopStrings {
  private held = '';
  private readonly stops: readonly string[];

  constructor(stops: readonly string[]) {
    this.stops = stops.filter((stop) => stop.length > 0);
  }

  /** Takes the next piece of text. */
  push(piece: string): StopResult {
    if (this.stops.length === 0) return { text: piece };
    this.held += piece;
    const match = this.earliestMatch();
    if (match) {
      const text = this.held.slice(0, match.start);
      this.held = '';
      return { text, stop: match.stop };
    }
    const keep = this.heldSuffix();
    const text = this.held.slice(0, this.held.length - keep);
    this.held = this.held.slice(this.held.length - keep);
    return { text };
  }

  /** The stream ended for another reason: what was withheld is text after all. */
  flush(): string {
    const text = this.held;
    this.held = '';
    return text;
  }

  private earliestMatch(): { start: number; stop: string } | undefined {
    let best: { start: number; stop: string } | undefined;
    for (const stop of this.stops) {
      const start = this.held.indexOf(stop);
      if (start < 0) continue;
      if (!best || start < best.start || (start === best.start && stop.length > best.stop.length))
        best = { start, stop };
    }
    return best;
  }

  /** Length of the longest end of the held text that begins a stop string. */
  private heldSuffix(): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, this.held.length); length > longest; length--) {
        if (this.held.endsWith(stop.slice(0, length))) {
          longest = length;
          break;
        }
      }
    }
    return longest;
  }
}
