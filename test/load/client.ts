import { Agent, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** How a request ended: the status, or that the client hung up or stopped reading, or what went wrong. */
export type Outcome =
  | { readonly kind: 'status'; readonly status: number; readonly tokens: number; readonly whole: boolean }
  | { readonly kind: 'left' }
  | { readonly kind: 'broken'; readonly reason: string };

export interface Behaviour {
  /** Milliseconds after which the client hangs up. */
  readonly leaveAfter?: number;
  /** Milliseconds between two chunks that it reads. */
  readonly pause?: number;
  /** Called when the first event of a stream is there. */
  readonly onFirst?: () => void;
}

export const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });

/** Begins a request and reads nothing of its answer but the head. `hangUp` ends it. */
export function ignore(url: string, body: object): Promise<{ hangUp(): void }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const call = request(`${url}/v1/completions`, { method: 'POST', headers }, (response) => {
      response.pause();
      resolve({ hangUp: () => void call.destroy() });
    });
    call.on('error', reject);
    call.end(JSON.stringify(body));
  });
}

/** Sends a request for a completion and behaves as told. */
export function complete(url: string, body: string | object, behaviour: Behaviour = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    let left = false;
    const call = request(
      `${url}/v1/completions`,
      { method: 'POST', agent, headers: { 'content-type': 'application/json' } },
      (response) => {
        read(response, behaviour).then(resolve, (error: Error) => {
          if (left) resolve({ kind: 'left' });
          else resolve({ kind: 'broken', reason: error.message });
        });
      },
    );
    call.on('error', (error) => resolve(left ? { kind: 'left' } : { kind: 'broken', reason: error.message }));
    if (behaviour.leaveAfter !== undefined) {
      setTimeout(() => {
        left = true;
        call.destroy();
      }, behaviour.leaveAfter);
    }
    call.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
}

async function read(response: IncomingMessage, { pause, onFirst }: Behaviour): Promise<Outcome> {
  const status = response.statusCode!;
  let text = '';
  let tokens = 0;
  const streamed = response.headers['content-type']?.startsWith('text/event-stream') === true;
  for await (const chunk of response) {
    text += chunk;
    if (streamed) {
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        if (event === 'data: [DONE]') text = 'done';
        else if (event.startsWith('data: {"error"')) return { kind: 'broken', reason: event };
        else if (event.startsWith('data: ')) {
          if (tokens === 0) onFirst?.();
          tokens++;
        }
      }
    }
    if (pause !== undefined) await sleep(pause);
  }
  return { kind: 'status', status, tokens, whole: !streamed || text === 'done' };
}
