import { expect, it, vi } from 'vitest';
import { EventBus, type RunEvent } from '../../events/events.js';
import { attachRenderer } from './events.js';
import { clip, LiveRegion } from './live-region.js';

const step = (number: number): RunEvent => ({
  type: 'train.step',
  task: 'tune',
  step: number,
  totalSteps: 4,
  epoch: 0,
  loss: 2.5,
  learningRate: 2e-4,
  gradNorm: 0.75,
  tokensPerSecond: 1234,
  etaSeconds: 30,
  memoryBytes: 2 ** 30,
});

const redact = (text: string) => text.replaceAll('hunter22', '[secret]');

/** What is written to standard output while events go by. */
function printed(globals: { log?: 'json' | 'auto'; quiet: boolean }, emitted: readonly RunEvent[]): string {
  let text = '';
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((part) => {
    text += String(part);
    return true;
  });
  try {
    const events = new EventBus();
    const detach = attachRenderer(events, globals, redact);
    for (const event of emitted) events.emit(event);
    detach();
    events.emit({ type: 'message', level: 'info', text: 'after the end' });
  } finally {
    spy.mockRestore();
  }
  return text;
}

const message: RunEvent = { type: 'message', level: 'info', text: 'the password is hunter22' };

it('prints plain lines without a terminal: the first and the last step, and secrets masked', () => {
  const line = 'loss 2.50  lr 2.00e-4  grad norm 0.75  1234 tokens/s  1.00 GiB  30.0 s left';
  expect(printed({ quiet: false }, [step(1), step(2), step(4), message])).toBe(
    `step 1/4  ${line}\nstep 4/4  ${line}\nthe password is [secret]\n`,
  );
  expect(printed({ quiet: true }, [step(1), message])).toBe('');
});

it('prints every event as a JSON line on demand, secrets masked', () => {
  const lines = printed({ log: 'json', quiet: false }, [step(1), step(2), message])
    .trim()
    .split('\n');
  expect(lines.map((line) => JSON.parse(line).type)).toEqual(['train.step', 'train.step', 'message']);
  expect(lines[2]).toContain('the password is [secret]');
});

it('draws progress in place, with what stays above it', () => {
  vi.useFakeTimers();
  try {
    let text = '';
    const write = (part: unknown) => {
      text += String(part);
      return true;
    };
    const live = new LiveRegion({ write: write as never, columns: 200 });
    const events = new EventBus();
    const detach = attachRenderer(events, { quiet: false }, redact, live);
    events.emit(step(1));
    expect(text).toBe(''); // a terminal is slower than a step
    vi.advanceTimersByTime(100);
    expect(text).toContain('tune  [######..................] 1/4  30.0 s left\nloss 2.50');
    text = '';
    events.emit(message);
    // Two lines up, cleared, the message, and the two lines again.
    expect(text.startsWith('\x1b[2F\x1b[Jthe password is [secret]\ntune  [')).toBe(true);
    text = '';
    live.above(() => write('a log line\n'));
    expect(text.startsWith('\x1b[2F\x1b[Ja log line\ntune  [')).toBe(true);
    text = '';
    detach();
    expect(text).toBe('\x1b[2F\x1b[J');
  } finally {
    vi.useRealTimers();
  }
});

it('cuts lines to the width of the terminal, colours not counted', () => {
  expect(clip('\x1b[31mabcdef\x1b[39m', 3)).toBe('\x1b[31mabc\x1b[39m');
});
