import type { EventBus, RunEvent } from '../../events/events.js';
import type { GlobalOptions } from '../program.js';
import { bytes, digits, duration, scientific } from './figures.js';

/** A line is printed for a training step at most this often. */
const STEP_INTERVAL_MS = 1000;

/** Prints a run's events as plain lines, or as JSON lines with `--log json`. Returns what ends it. */
export function attachRenderer(
  events: EventBus,
  globals: Pick<GlobalOptions, 'log' | 'quiet'>,
  redact: (text: string) => string,
): () => void {
  if (globals.log === 'json') {
    return events.on((event, time) => {
      if (event.type === 'log') return;
      process.stdout.write(`${redact(JSON.stringify({ time: time.toISOString(), ...event }))}\n`);
    });
  }
  if (globals.quiet) return () => {};
  let lastStep = 0;
  return events.on((event, time) => {
    if (event.type === 'train.step' && event.step < event.totalSteps) {
      if (time.getTime() - lastStep < STEP_INTERVAL_MS) return;
      lastStep = time.getTime();
    }
    for (const line of linesOf(event)) process.stdout.write(`${redact(line)}\n`);
  });
}

/** What people read of an event; nothing for those that matter to programs alone. */
export function linesOf(event: RunEvent): readonly string[] {
  switch (event.type) {
    case 'step.started':
      return [
        `[${event.index + 1}/${event.total}] ${event.step} (${event.stage}: ${event.use})${event.resume ? ', resumed' : ''}`,
      ];
    case 'step.skipped':
      return [`${event.step}: skipped, ${event.reason}`];
    case 'step.finished':
      return [`${event.step}: done in ${duration(event.seconds)}`];
    case 'train.step':
      return [
        `step ${event.step}/${event.totalSteps}  loss ${digits(event.loss)}  lr ${scientific(event.learningRate)}  grad norm ${digits(event.gradNorm)}  ${Math.round(event.tokensPerSecond)} tokens/s  ${bytes(event.memoryBytes)}  ${duration(event.etaSeconds)} left`,
      ];
    case 'train.evaluated':
      return [
        `evaluated at step ${event.step}: ${Object.entries(event.metrics)
          .map(([name, value]) => `${name} ${digits(value)}`)
          .join('  ')}`,
      ];
    case 'train.checkpoint':
      return [`checkpoint ${event.path}`];
    case 'data.report':
    case 'memory.estimate':
    case 'plan':
      return event.lines;
    case 'table':
      return table(event.columns, event.rows);
    case 'message':
      return [event.text];
    default:
      return [];
  }
}

/** Columns as wide as their widest cell. */
export function table(columns: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = [columns, ...rows.map((row) => row.map(String))];
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)));
  return cells.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
}
