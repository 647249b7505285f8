import type { WriteStream } from 'node:tty';

type Terminal = Pick<WriteStream, 'write' | 'columns'>;

/**
 * Lines at the bottom of a terminal that are drawn again and again, below lines that stay. Drawn at most every 80 ms:
 * a terminal is slower than a training step.
 */
export class LiveRegion {
  private drawn = 0;
  private lines: readonly string[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly terminal: Terminal) {}

  /** Prints a line that stays. */
  print(text: string): void {
    this.above(() => this.terminal.write(`${text}\n`));
  }

  /** Lets something else write whole lines to the same terminal, such as a log to standard error. */
  above<T>(write: () => T): T {
    this.erase();
    try {
      return write();
    } finally {
      this.draw();
    }
  }

  /** Replaces the lines that do not stay. */
  show(lines: readonly string[]): void {
    this.lines = lines;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.erase();
      this.draw();
    }, 80);
    this.timer.unref();
  }

  /** Takes the lines away; what was printed stays. */
  close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.lines = [];
    this.erase();
  }

  private erase(): void {
    if (this.drawn > 0) this.terminal.write(`\x1b[${this.drawn}F\x1b[J`);
    this.drawn = 0;
  }

  private draw(): void {
    if (this.lines.length === 0) return;
    const width = Math.max(20, (this.terminal.columns ?? 80) - 1);
    // A wrapped line would take two rows, and erasing would miss one.
    this.terminal.write(this.lines.map((line) => `${clip(line, width)}\n`).join(''));
    this.drawn = this.lines.length;
  }
}

/** Cuts a text to a number of columns; colour codes take none. */
export function clip(text: string, width: number): string {
  let column = 0;
  let result = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character starts a colour code
  for (const [part] of text.matchAll(/\x1b\[[0-9;]*m|[\s\S]/gu)) {
    if (part.startsWith('\x1b')) result += part;
    else if (column < width) {
      column++;
      result += part;
    }
  }
  return result;
}
