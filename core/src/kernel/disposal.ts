import { reasonOf } from './errors.js';
import { kernelErrors } from './kernel-errors.js';

type Disposer = () => void | Promise<void>;

/** What plugins want to run at the end: the last registered first, all of them, whatever the others do. */
export class DisposalStack {
  private readonly stack: { plugin: string; fn: Disposer }[] = [];
  private finished: Promise<void> | undefined;

  /** @param seconds how long one may take before the others go on without it */
  constructor(private readonly seconds: number) {}

  push(plugin: string, fn: Disposer): void {
    this.stack.push({ plugin, fn });
  }

  /** Runs once; rejects with all failures together. */
  dispose(): Promise<void> {
    this.finished ??= this.run();
    return this.finished;
  }

  private async run(): Promise<void> {
    const errors: unknown[] = [];
    const reasons: string[] = [];
    for (let entry = this.stack.pop(); entry; entry = this.stack.pop()) {
      const { plugin, fn } = entry;
      try {
        await withTimeout(
          async () => fn(),
          this.seconds,
          () => kernelErrors.LF_PLUGIN_TIMEOUT({ plugin, phase: 'dispose', seconds: this.seconds }),
        );
      } catch (error) {
        errors.push(error);
        const reason = reasonOf(error);
        reasons.push(reason.startsWith('[plugin ') ? reason : `[plugin ${plugin}] dispose: ${reason}`);
      }
    }
    if (errors.length === 0) return;
    throw kernelErrors.LF_DISPOSE_FAILED({ reasons }, { cause: new AggregateError(errors, reasons.join('; ')) });
  }
}

/** Waits for work, at most some seconds; the work itself is not stopped. */
export async function withTimeout<T>(work: () => Promise<T>, seconds: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), seconds * 1000);
  });
  try {
    return await Promise.race([work(), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
