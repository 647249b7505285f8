/** An async iterable that a producer fills: values wait until they are taken; `fail` and `end` follow what is queued. */
export class EventQueue<T> implements AsyncIterable<T> {
  private readonly values: T[] = [];
  private ended = false;
  private error: unknown;
  private wake: (() => void) | undefined;

  /** `onReturn` runs when the consumer leaves its loop early. */
  constructor(private readonly onReturn: () => void = () => {}) {}

  push(value: T): void {
    if (this.ended) return;
    this.values.push(value);
    this.notify();
  }

  end(): void {
    this.ended = true;
    this.notify();
  }

  fail(error: unknown): void {
    if (this.ended) return;
    this.error = error;
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    let finished = false;
    try {
      for (;;) {
        while (this.values.length > 0) yield this.values.shift()!;
        if (this.ended) break;
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
      finished = true;
      if (this.error !== undefined) throw this.error;
    } finally {
      if (!finished) this.onReturn();
    }
  }

  private notify(): void {
    this.wake?.();
    this.wake = undefined;
  }
}
