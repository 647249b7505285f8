/**
 * An async iterable that a producer fills. Values wait until they are taken, and the consumer sleeps until `wake`: the
 * producer says when it is time to hand over what has come together. `fail` and `end` follow what is queued.
 */
export class EventQueue<T> implements AsyncIterable<T> {
  private values: T[] = [];
  private ended = false;
  private error: unknown;
  private resume: (() => void) | undefined;

  /** `onReturn` runs when the consumer leaves its loop early. */
  constructor(private readonly onReturn: () => void = () => {}) {}

  push(value: T): void {
    if (!this.ended) this.values.push(value);
  }

  end(): void {
    this.ended = true;
  }

  /** Ends with an error, and wakes the consumer. */
  fail(error: unknown): void {
    if (this.ended) return;
    this.error = error;
    this.end();
    this.wake();
  }

  /** Lets a waiting consumer see what was pushed. */
  wake(): void {
    this.resume?.();
    this.resume = undefined;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    let finished = false;
    try {
      for (;;) {
        const values = this.values;
        this.values = [];
        for (const value of values) yield value;
        if (this.values.length > 0) continue;
        if (this.ended) break;
        await new Promise<void>((resolve) => {
          this.resume = resolve;
        });
      }
      finished = true;
      if (this.error !== undefined) throw this.error;
    } finally {
      if (!finished) this.onReturn();
    }
  }
}
