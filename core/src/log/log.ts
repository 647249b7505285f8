import pino from 'pino';
import { maskSecretKeys, type Secrets } from '../config/secrets.js';
import type { EventBus } from '../events/events.js';
import type { Logger } from '../kernel/plugin.js';
import { levelNames, prettyLine } from './pretty.js';

/** What log lines are written to. */
export interface LogDestination {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export interface LogOptions {
  readonly level: string;
  /** auto: lines for people (in colours on a terminal). */
  readonly format: 'auto' | 'pretty' | 'json';
  /** Standard error unless given. */
  readonly destination?: LogDestination;
  readonly color?: boolean;
  readonly secrets: Secrets;
  /** Entries are told as events of type `log` too. */
  readonly events?: EventBus;
}

/** The log of a program: one level for all of its loggers, which can change while it runs. */
export class Log {
  readonly logger: Logger;
  private readonly root: pino.Logger;
  private readonly children = new Set<pino.Logger>();

  constructor(private readonly options: LogOptions) {
    this.root = pino(
      {
        level: options.level,
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { log: (fields) => maskSecretKeys(fields) as Record<string, unknown>, bindings: (b) => b },
        serializers: { err: describeError },
      },
      { write: (line: string) => this.write(line) },
    );
    this.logger = this.root;
  }

  /** A logger whose lines carry fields, such as the plugin's name; it follows setLevel. */
  child(fields: Record<string, unknown>): Logger {
    const child = this.root.child(fields);
    this.children.add(child);
    return child;
  }

  setLevel(level: string): void {
    for (const logger of [this.root, ...this.children]) logger.level = level;
  }

  private write(line: string): void {
    const { destination = process.stderr, format, secrets, events } = this.options;
    const { color = destination.isTTY === true && !process.env.NO_COLOR } = this.options;
    // Last of all, on the finished line: a secret may be part of any text, such as the message of another's error.
    const safe = secrets.redact(line);
    destination.write(format === 'json' ? safe : prettyLine(safe, color));
    if (!events) return;
    const { level, time: _, msg = '', plugin, ...fields } = JSON.parse(safe) as Record<string, unknown>;
    const name = levelNames[level as number] ?? String(level);
    events.emit({ type: 'log', level: name, text: String(msg), ...(plugin ? { plugin: String(plugin) } : {}), fields });
  }
}

/** An error as JSON: without the fields that others hang on it, which may hold anything. */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code, remedy } = error as { code?: unknown; remedy?: unknown };
  const cause: unknown = error.cause instanceof Error ? describeError(error.cause) : undefined;
  return { type: error.name, code, message: error.message, remedy, stack: error.stack, cause };
}
