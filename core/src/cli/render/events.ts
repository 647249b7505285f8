import type { EventBus, RunEvent, RunEventOf } from '../../events/events.js';
import type { GlobalOptions } from '../program.js';
import { bytes, digits, duration, scientific } from './figures.js';
import type { LiveRegion } from './live-region.js';

/** A line is printed for a training step at most this often. */
const STEP_INTERVAL_MS = 1000;

/** Prints a run's events as plain lines, or as JSON lines with `--log json`. Returns what ends it. */
export function attachRenderer(
  events: EventBus,
  globals: Pick<GlobalOptions, 'log' | 'quiet'>,
  redact: (text: string) => string,
  live?: LiveRegion,
): () => void {
  if (globals.log === 'json') {
    return events.on((event, time) => {
      if (event.type === 'log') return;
      process.stdout.write(`${redact(JSON.stringify({ time: time.toISOString(), ...event }))}\n`);
    });
  }
  if (globals.quiet) return () => {};
  if (live) return attachLive(events, redact, live);
  let lastStep = 0;
  return events.on((event, time) => {
    if (event.type === 'train.step' && event.step < event.totalSteps) {
      if (time.getTime() - lastStep < STEP_INTERVAL_MS) return;
      lastStep = time.getTime();
    }
    for (const line of linesOf(event)) process.stdout.write(`${redact(line)}\n`);
  });
}

/** Draws progress in place, and prints the rest above it. */
function attachLive(events: EventBus, redact: (text: string) => string, live: LiveRegion): () => void {
  const detach = events.on((event) => {
    if (event.type === 'train.step' || event.type === 'progress') live.show(liveLines(event).map(redact));
    if (event.type === 'step.finished' || event.type === 'step.failed') live.close();
    if (event.type === 'train.step' && event.step < event.totalSteps) return;
    for (const line of linesOf(event)) live.print(redact(line));
  });
  return () => {
    detach();
    live.close();
  };
}

const BAR_COLUMNS = 24;

/** The lines that are drawn again and again while something goes on. */
export function liveLines(event: RunEventOf<'train.step' | 'progress'>): string[] {
  const [current, total] =
    event.type === 'train.step' ? [event.step, event.totalSteps] : [event.current, event.total ?? 0];
  const full = total > 0 ? Math.round((Math.min(current, total) / total) * BAR_COLUMNS) : 0;
  const bar = `[${'#'.repeat(full)}${'.'.repeat(BAR_COLUMNS - full)}]`;
  if (event.type === 'progress') {
    const of = total > 0 ? `${bar} ${current}/${total}` : String(current);
    return [`${event.task}  ${of}${event.unit ? ` ${event.unit}` : ''}`];
  }
  return [
    `${event.task}  ${bar} ${current}/${total}  ${duration(event.etaSeconds)} left`,
    `loss ${digits(event.loss)}  lr ${scientific(event.learningRate)}  grad norm ${digits(event.gradNorm)}  ${Math.round(event.tokensPerSecond)} tokens/s  ${bytes(event.memoryBytes)}`,
  ];
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
