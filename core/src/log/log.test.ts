import { describe, expect, it } from 'vitest';
import { Secrets } from '../config/secrets.js';
import { EventBus, type RunEvent } from '../events/events.js';
import { Log, type LogOptions } from './log.js';

function makeLog(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const secrets = new Secrets();
  const destination = { write: (text: string) => lines.push(text) };
  const log = new Log({ level: 'info', format: 'json', destination, secrets, ...options });
  return { log, lines, secrets, entries: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('the log', () => {
  it('writes JSON lines with time, level, plugin and fields', () => {
    const { log, entries } = makeLog();
    log.child({ plugin: 'p' }).warn({ rows: 3 }, 'three rows');
    expect(entries()).toEqual([
      { level: 40, time: expect.stringMatching(/^20\d\d-.*Z$/), plugin: 'p', rows: 3, msg: 'three rows' },
    ]);
  });

  it('writes lines for people, in colours on a terminal only', () => {
    const { log, lines } = makeLog({ format: 'auto' });
    log.child({ plugin: '@largeforge/data' }).info({ rows: 3, file: 'a b.json' }, 'loaded');
    log.logger.error({ err: Object.assign(new Error('no disk'), { code: 'LF_X' }) }, 'could not save');
    expect(lines.map((line) => line.replace(/^\S+/, 'TIME'))).toEqual([
      'TIME info  [data] loaded rows=3 file="a b.json"\n',
      'TIME error could not save no disk code=LF_X\n',
    ]);
    const colored: string[] = [];
    const terminal = { write: (text: string) => colored.push(text), isTTY: true };
    makeLog({ format: 'auto', destination: terminal }).log.logger.info('hi');
    expect(colored[0]).toContain('\x1b[36m');
    colored.length = 0;
    makeLog({ format: 'auto', destination: terminal, color: false }).log.logger.info('hi');
    expect(colored[0]).not.toContain('\x1b[');
  });

  it('has one level for all loggers, which can change', () => {
    const { log, entries } = makeLog({ level: 'warn' });
    const child = log.child({ plugin: 'p' });
    child.info('hidden');
    log.setLevel('debug');
    child.debug('shown');
    child.child({ request: 1 }).debug('shown too');
    log.setLevel('silent');
    child.fatal('hidden');
    expect(entries().map(({ msg }) => msg)).toEqual(['shown', 'shown too']);
  });

  it('writes errors with code, remedy and causes', () => {
    const { log, entries } = makeLog();
    const cause = new Error('ENOSPC');
    const error = Object.assign(new Error('no disk', { cause }), {
      code: 'LF_X',
      remedy: 'Free some.',
      config: { key: 1 },
    });
    log.logger.error({ err: error }, 'failed');
    expect(entries()[0]!.err).toEqual({
      type: 'Error',
      code: 'LF_X',
      message: 'no disk',
      remedy: 'Free some.',
      stack: expect.any(String),
      cause: expect.objectContaining({ message: 'ENOSPC' }),
    });
  });

  it('masks secrets by key and by text', () => {
    const { log, lines, secrets } = makeLog();
    secrets.add('hunter22');
    log.logger.info({ deep: { apiKey: 'anything', user: 'me hunter22' } }, 'pass hunter22 on');
    expect(lines[0]).toContain('"apiKey":"[secret]","user":"me [secret]"');
    expect(lines[0]).toContain('pass [secret] on');
  });

  it('is told as events too', () => {
    const events = new EventBus();
    const seen: RunEvent[] = [];
    events.on('log', (event) => void seen.push(event));
    makeLog({ events }).log.child({ plugin: 'p' }).warn({ n: 1 }, 'hi');
    expect(seen).toEqual([{ type: 'log', level: 'warn', text: 'hi', plugin: 'p', fields: { n: 1 } }]);
  });
});
