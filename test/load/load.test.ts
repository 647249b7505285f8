import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { seeded } from '../../engine/src/generation/random.fixture.js';
import { agent, type Behaviour, complete, ignore, type Outcome } from './client.js';
import { type ProcessFigures, ServerProcess } from './server-process.js';

/** `npm run test:load` sets it: the sizes that the product promises. `npm test` runs a small part. */
const whole = process.env.LARGEFORGE_LOAD === 'whole';
const STREAMS = whole ? 1100 : 60;
const REQUESTS = whole ? 10_000 : 200;
const CONCURRENT = whole ? 128 : 24;
const PARTS = 5;
const STREAM_TOKENS = whole ? 256 : 96;

const BODY_BYTES = 256 * 1024;
const MEBIBYTE = 2 ** 20;

const report = (title: string, figures: ProcessFigures, more: object = {}) => {
  if (!whole) return;
  const { delayP50, delayP99, delayMax, rss, heapUsed, descriptors } = figures;
  const ms = (value: number) => value.toFixed(1);
  const memory = `${Math.round(rss / MEBIBYTE)} MiB, heap ${Math.round(heapUsed / MEBIBYTE)} MiB`;
  console.log(
    `${title}: event loop late by ${ms(delayP50)} ms (p50), ${ms(delayP99)} (p99), ${ms(delayMax)} (most); ${memory}, ${descriptors} descriptors ${JSON.stringify(more)}`,
  );
};

const prompt = (random: (n: number) => number, words: number) =>
  Array.from(
    { length: words },
    () => ['set', 'a', 'timer', 'for', 'ten', 'minutes', 'please', 'add', 'milk'][random(9)],
  ).join(' ');

/** One request of the mixture: what is sent, and how its client behaves. */
function drawRequest(random: (n: number) => number): {
  body: string | object;
  behaviour: Behaviour;
  allowed: number[];
} {
  const body = {
    model: 'base',
    prompt: prompt(random, 1 + random(60)),
    max_tokens: 1 + random(24),
    temperature: random(2),
    seed: random(1000),
    stream: random(3) > 0,
    ...(random(10) === 0 && { n: 3, logprobs: 2 }),
    ...(random(10) === 0 && { frequency_penalty: 0.5, priority: random(3) }),
  };
  // What is refused because the queue is full may be refused at any time.
  const busy = [429, 503];
  const kind = random(100);
  if (kind < 12)
    return { body: { ...body, max_tokens: 64 }, behaviour: { leaveAfter: random(120) }, allowed: [200, ...busy] };
  if (kind < 16)
    return { body: { ...body, stream: true }, behaviour: { pause: 5 + random(40) }, allowed: [200, ...busy] };
  if (kind < 19) return { body: { ...body, prompt: 'x'.repeat(BODY_BYTES + 1) }, behaviour: {}, allowed: [413] };
  if (kind < 21) return { body: '{"model": "base", "prompt": ', behaviour: {}, allowed: [400] };
  if (kind < 22) return { body: { ...body, max_tokens: 100_000 }, behaviour: {}, allowed: [400] };
  return { body, behaviour: {}, allowed: [200, ...busy] };
}

it(
  'a thousand open streams, hang-ups, slow readers and bodies too large leave nothing behind',
  async () => {
    await using server = await ServerProcess.start(
      { bodyBytes: BODY_BYTES, stalledReaderSeconds: 2, queuedRequests: 2 * STREAMS },
      { maxSequences: STREAMS + CONCURRENT },
    );
    const random = seeded(4);
    // Warms up: what is compiled and allocated once is no leak.
    const warmUp = Array.from({ length: whole ? 400 : 60 }, () => drawRequest(random));
    await Promise.all(warmUp.map(({ body, behaviour }) => complete(server.url, body, behaviour)));
    await server.idle();
    agent.destroy();
    report('warmed up', await server.figures());

    // Every stream goes on until all of them have begun.
    let open = 0;
    let most = 0;
    const start = performance.now();
    const streams = await Promise.all(
      Array.from({ length: STREAMS }, async (_, i) => {
        const body = {
          model: 'base',
          prompt: prompt(random, 8),
          max_tokens: STREAM_TOKENS,
          ignore_eos: true,
          stream: true,
          seed: i,
        };
        const onFirst = () => {
          most = Math.max(most, ++open);
        };
        const outcome = await complete(server.url, body, { onFirst });
        open--;
        return outcome;
      }),
    );
    const seconds = (performance.now() - start) / 1000;
    const failed = streams.filter((outcome) => outcome.kind !== 'status' || outcome.status !== 200 || !outcome.whole);
    expect(failed, server.log).toEqual([]);
    expect(most).toBe(STREAMS);
    await server.idle();
    report(`${STREAMS} streams`, await server.figures(), {
      tokensPerSecond: Math.round((STREAMS * STREAM_TOKENS) / seconds),
    });

    // Readers who take nothing are given up: more than the sockets' buffers hold.
    const ignored = await ignore(server.url, {
      model: 'base',
      prompt: 'a',
      n: 12,
      max_tokens: 900,
      logprobs: 20,
      ignore_eos: true,
      stream: true,
    });
    const given = await server.idle();
    expect(given.active_requests, 'a reader that takes nothing').toBe(0);
    ignored.hangUp();

    const counts = new Map<string, number>();
    const memory: number[] = [];
    const descriptors: number[] = [];
    const unexpected: unknown[] = [];
    const began = performance.now();
    for (let part = 0; part < PARTS; part++) {
      let sent = 0;
      const worker = async () => {
        while (sent++ < REQUESTS / PARTS) {
          const { body, behaviour, allowed } = drawRequest(random);
          const outcome = await complete(server.url, body, behaviour);
          const name = outcome.kind === 'status' ? String(outcome.status) : outcome.kind;
          counts.set(name, (counts.get(name) ?? 0) + 1);
          if (!isAllowed(outcome, behaviour, allowed))
            unexpected.push({ outcome, body: JSON.stringify(body).slice(0, 300) });
        }
      };
      await Promise.all(Array.from({ length: CONCURRENT }, worker));
      const state = await server.idle();
      agent.destroy();
      const figures = await settled(server);
      memory.push(figures.rss);
      descriptors.push(figures.descriptors);
      report(`${((part + 1) * REQUESTS) / PARTS} requests`, figures, Object.fromEntries(counts));
      expect(unexpected, server.log).toEqual([]);
      expect(state).toMatchObject({
        active_requests: 0,
        queued_requests: 0,
        queued_tokens: 0,
        models: [{ running: 0, waiting: 0, cache_usage: 0, failure: null }],
      });
    }
    if (whole) console.log(`${Math.round(REQUESTS / ((performance.now() - began) / 1000))} requests a second`);
    // The allocator may keep a little more after each part; a leak of a request would show as a multiple of that.
    expect(memory.at(-1)! - memory[1]!).toBeLessThan(48 * MEBIBYTE);
    expect(descriptors.at(-1)! - descriptors[0]!).toBeLessThan(8);
    expect(server.alive).toBe(true);
  },
  whole ? 900_000 : 120_000,
);

/** Figures once the server has noticed that connections are gone: as few descriptors as it will have. */
async function settled(server: ServerProcess): Promise<ProcessFigures> {
  let before = await server.figures();
  for (let i = 0; i < 20; i++) {
    await sleep(100);
    const { descriptors } = await server.figures();
    if (descriptors >= before.descriptors) break;
    before = { ...before, descriptors };
  }
  return before;
}

function isAllowed(outcome: Outcome, behaviour: Behaviour, allowed: readonly number[]): boolean {
  if (outcome.kind === 'left') return behaviour.leaveAfter !== undefined;
  return outcome.kind === 'status' && allowed.includes(outcome.status) && outcome.whole;
}
