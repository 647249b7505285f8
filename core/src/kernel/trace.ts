import { writeFileSync } from 'node:fs';

interface TraceEvent {
  name: string;
  cat: string;
  ph: 'X';
  ts: number;
  dur: number;
  pid: number;
  tid: number;
  args?: Record<string, unknown>;
}

/** Collects spans and writes them as a Chrome trace (chrome://tracing, Perfetto). */
export class Tracer {
  private readonly events: TraceEvent[] = [];
  private readonly start = performance.now();

  /** Starts a span; call what it returns at its end. */
  begin(category: string, name: string, args?: Record<string, unknown>): () => void {
    const from = performance.now();
    return () => {
      this.events.push({
        name,
        cat: category,
        ph: 'X',
        ts: Math.round((from - this.start) * 1000),
        dur: Math.round((performance.now() - from) * 1000),
        pid: process.pid,
        tid: 1,
        args,
      });
    };
  }

  write(path: string): void {
    writeFileSync(path, JSON.stringify({ traceEvents: this.events, displayTimeUnit: 'ms' }));
  }
}
