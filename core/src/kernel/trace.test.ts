import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { boot, plugin } from './kernel.fixture.js';
import { Tracer } from './trace.js';

interface Event {
  name: string;
  cat: string;
  ph: string;
  ts: number;
  dur: number;
  tid: number;
}

function read(tracer: Tracer): Event[] {
  const file = join(mkdtempSync(join(tmpdir(), 'largeforge-trace-')), 'deep', 'trace.json');
  tracer.write(file);
  return (JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: Event[] }).traceEvents;
}

describe('a trace', () => {
  it('has boot, hooks and taps as complete events that nest', async () => {
    const tracer = new Tracer();
    const kernel = await boot(
      [
        plugin('a', (context) => context.hooks.dough.rise.tap(() => {})),
        plugin('b', (context) => context.hooks.dough.smell.tap(() => {})),
        plugin('c', (context) => context.hooks.dough.smell.tap(() => {})),
      ],
      { tracer },
    );
    await kernel.hooks.dough.rise.fire('x');
    await kernel.hooks.dough.smell.fire('x');
    const events = read(tracer);
    expect(events.map(({ cat, name }) => `${cat} ${name}`).sort()).toEqual([
      'boot a',
      'boot b',
      'boot c',
      'hook dough.rise',
      'hook dough.smell',
      'tap dough.rise (a)',
      'tap dough.smell (b)',
      'tap dough.smell (c)',
    ]);
    expect(events.every(({ ph, ts, dur }) => ph === 'X' && ts > 0 && dur >= 0)).toBe(true);
    const find = (name: string) => events.find((event) => event.name === name)!;
    const [hook, tap] = [find('dough.rise'), find('dough.rise (a)')];
    expect(tap.ts).toBeGreaterThanOrEqual(hook.ts);
    expect(tap.ts + tap.dur).toBeLessThanOrEqual(hook.ts + hook.dur + 1);
    // Taps that run side by side are on lanes of their own.
    expect(find('dough.smell (b)').tid).not.toBe(find('dough.smell (c)').tid);
  });

  it('shows what has not ended as running until now', () => {
    const tracer = new Tracer();
    tracer.begin('step', 'endless');
    expect(read(tracer)).toMatchObject([{ name: 'endless', cat: 'step' }]);
  });
});
