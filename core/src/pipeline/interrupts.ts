import type { EventEmitter } from 'node:events';

const names = ['SIGINT', 'SIGTERM'] as const;

/**
 * Ctrl-C: the first asks all work to end (a training writes a checkpoint, a server drains), the second stops at once.
 * Hand `signal` to the application and `stop` to the pipeline.
 */
export class Interrupts {
  private readonly first = new AbortController();
  private readonly second = new AbortController();

  /**
   * @param source what receives the signals; the process
   * @param onFirst called at the first: tell the user what is awaited, and that a second one stops
   */
  constructor(
    private readonly source: EventEmitter = process,
    private readonly onFirst: (signal: string) => void = () => {},
  ) {
    for (const name of names) source.on(name, this.receive);
  }

  get signal(): AbortSignal {
    return this.first.signal;
  }

  get stop(): AbortSignal {
    return this.second.signal;
  }

  /** Signals end the process again as usual. */
  dispose(): void {
    for (const name of names) this.source.off(name, this.receive);
  }

  private readonly receive = (name: string): void => {
    const reason = new DOMException(`interrupted by ${name}`, 'AbortError');
    if (this.first.signal.aborted) {
      this.second.abort(reason);
      return;
    }
    this.onFirst(name);
    this.first.abort(reason);
  };
}
