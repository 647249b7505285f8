import type { ServerResponse } from 'node:http';

export interface EventStreamOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** A comment goes out when nothing else did for this long, so that proxies keep the connection. */
  readonly heartbeatMs: number;
  /** A reader that takes nothing for this long is given up. */
  readonly stallMs: number;
}

/** The reader stalled or went away; what was being sent is of no use to anyone. */
export class ReaderGone extends Error {
  constructor(reason: 'closed' | 'stalled') {
    super(reason === 'closed' ? 'the client closed the connection' : 'the client stopped reading');
    this.name = 'ReaderGone';
  }
}

/**
 * Server-sent events over a raw response. `send` resolves when the socket has room again, so whoever awaits it
 * produces no faster than the reader reads.
 */
export class EventStream {
  private readonly heartbeat: NodeJS.Timeout;
  private ended = false;

  constructor(
    private readonly response: ServerResponse,
    private readonly options: EventStreamOptions,
  ) {
    response.writeHead(200, {
      ...options.headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    response.flushHeaders();
    this.heartbeat = setInterval(() => {
      if (!response.writableNeedDrain && !response.writableEnded) response.write(': keep-alive\n\n');
    }, options.heartbeatMs);
    this.heartbeat.unref();
    response.once('close', () => clearInterval(this.heartbeat));
  }

  /** Sends one event with a JSON body; throws ReaderGone when nobody takes it. */
  async send(data: unknown): Promise<void> {
    await this.write(`data: ${JSON.stringify(data)}\n\n`);
  }

  /** The mark that OpenAI's clients end on; nothing follows it. */
  async done(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.heartbeat);
    await this.write('data: [DONE]\n\n');
    this.response.end();
  }

  private async write(text: string): Promise<void> {
    const { response } = this;
    if (response.destroyed) throw new ReaderGone('closed');
    this.heartbeat.refresh();
    if (response.write(text)) return;
    await new Promise<void>((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        response.off('drain', onDrain);
        response.off('close', onClose);
      };
      const onDrain = () => {
        stop();
        resolve();
      };
      const onClose = () => {
        stop();
        reject(new ReaderGone('closed'));
      };
      const timer = setTimeout(() => {
        stop();
        reject(new ReaderGone('stalled'));
        response.destroy();
      }, this.options.stallMs);
      response.once('drain', onDrain);
      response.once('close', onClose);
    });
  }
}
