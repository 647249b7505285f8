import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { reasonOf } from './errors.js';
import { kernelErrors } from './kernel-errors.js';

/** A complete event of the Chrome trace-event format (ph "X"); times in microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: 'X';
  readonly ts: number;
  readonly dur: number;
  readonly pid: number;
  readonly tid: number;
}

/**
 * Collects spans and writes them as a Chrome trace (chrome://tracing, ui.perfetto.dev). Names only: no value of a config
 * or a hook gets into a trace.
 */
export class Tracer {
  private readonly events: TraceEvent[] = [];
  private readonly open = new Map<symbol, { category: string; name: string; from: number; lane: number }>();
  private readonly lanes = new Set<number>();

  /**
   * Starts a span; call what it returns at its end.
   * @param parallel runs beside others: it gets a lane of its own, for spans of one lane must nest
   */
  begin(category: string, name: string, parallel = false): () => void {
    const lane = parallel ? this.takeLane() : 1;
    const token = Symbol();
    this.open.set(token, { category, name, from: performance.now(), lane });
    return () => {
      const span = this.open.get(token);
      if (!span) return;
      this.open.delete(token);
      this.lanes.delete(lane);
      this.events.push(event(span, performance.now()));
    };
  }

  /** Writes the trace, with what still runs as running until now. Throws LF_TRACE_UNWRITABLE. */
  write(path: string): void {
    const now = performance.now();
    const unfinished = [...this.open.values()].map((span) => event(span, now));
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, JSON.stringify({ traceEvents: [...this.events, ...unfinished], displayTimeUnit: 'ms' }));
    } catch (cause) {
      throw kernelErrors.LF_TRACE_UNWRITABLE({ path, reason: reasonOf(cause) }, { cause });
    }
  }

  private takeLane(): number {
    let lane = 2;
    while (this.lanes.has(lane)) lane++;
    this.lanes.add(lane);
    return lane;
  }
}

function event(span: { category: string; name: string; from: number; lane: number }, to: number): TraceEvent {
  const { category, name, from, lane } = span;
  const ts = Math.round(from * 1000);
  return { name, cat: category, ph: 'X', ts, dur: Math.round((to - from) * 1000), pid: process.pid, tid: lane };
}
