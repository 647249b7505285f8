import pino from 'pino';
import type { Logger } from '../kernel/plugin.js';

export interface LeveledLogger extends Logger {
  setLevel(level: string): void;
  child(fields: Record<string, unknown>): LeveledLogger;
}

export interface LogOptions {
  readonly level: string;
  /** auto: pretty on a terminal, else JSON lines. */
  readonly format: 'auto' | 'pretty' | 'json';
  readonly destination?: NodeJS.WritableStream;
}

/** Fields that are never written, at any depth that loggers use. */
const SECRET_KEYS = ['apiKey', 'apiKeys', 'adminKeys', 'authorization', 'password', 'token', 'secret'];
const SECRET_PATHS = SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);

const LEVELS: Record<number, string> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' };

/** A structured log on standard error: JSON lines, or one readable line an entry. */
export function createLogger({ level, format, destination = process.stderr }: LogOptions): LeveledLogger {
  const terminal = 'isTTY' in destination && destination.isTTY === true;
  const pretty = format === 'pretty' || (format === 'auto' && terminal);
  const stream = pretty ? { write: (line: string) => void destination.write(prettyLine(line)) } : destination;
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: SECRET_PATHS, censor: '[secret]' },
    },
    stream as pino.DestinationStream,
  );
  return wrap(logger, logger);
}

/** The level belongs to the whole tree of loggers: children follow it. */
function wrap(logger: pino.Logger, root: pino.Logger, children: pino.Logger[] = []): LeveledLogger {
  const all = children;
  return Object.assign(Object.create(logger) as pino.Logger, {
    setLevel: (level: string) => {
      root.level = level;
      for (const child of all) child.level = level;
    },
    child: (fields: Record<string, unknown>) => {
      const child = logger.child(fields);
      all.push(child);
      return wrap(child, root, all);
    },
  }) as unknown as LeveledLogger;
}

function prettyLine(line: string): string {
  const { level, time, msg, plugin, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const error = err as { message?: string } | undefined;
  const parts = [
    String(time).slice(11, 19),
    (LEVELS[level as number] ?? '').padEnd(5),
    plugin ? `[${plugin}]` : '',
    msg ?? '',
    ...rest,
    error?.message ?? '',
  ];
  return `${parts.filter((part) => part !== '').join(' ')}\n`;
}
