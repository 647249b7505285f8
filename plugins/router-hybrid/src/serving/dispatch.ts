import { setTimeout as sleep } from 'node:timers/promises';
import { aggregate } from '../aggregation/aggregate.js';
import { routerErrors } from '../errors.js';
import type { ExpertRegistry } from '../experts/expert-registry.js';
import type { LiveExpert } from '../experts/live-expert.js';
import { attempt, type ExpertAnswer, type ExpertCall, ExpertFailure } from './attempt.js';
import { expertSpan, failSpan } from './tracing.js';

/** How an answer was passed on. */
export type Outcome = 'complete' | 'broken' | 'abandoned';

export interface Dispatched {
  /** Who answers. */
  readonly expert: string;
  readonly answer: ExpertAnswer;
  /** Call it when the answer has been passed on, with whether all of it came. */
  readonly end: (outcome: Outcome) => void;
}

/** Pause before the chain is tried a second time; half of it is chance, so that clients don't come back together. */
const pauseMs = 200;

/**
 * Asks one expert after the other until one answers. An expert with `hedge_after_ms` that has said nothing by then is
 * joined by the next one, and the sooner answer holds. When none answers, the chain is tried once more: nothing was sent
 * to the client, and an unanswered completion changes nothing, so a second try is safe. Throws LF_ROUTER_NO_ANSWER.
 * @param chain names, the chosen expert first
 * @param onFailure told of each try that failed
 */
export async function dispatch(
  registry: ExpertRegistry,
  chain: readonly string[],
  call: ExpertCall,
  onFailure: (failure: ExpertFailure) => void = () => {},
): Promise<Dispatched> {
  const failed: ExpertFailure[] = [];
  for (let round = 0; round < 2; round++) {
    if (round > 0) await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: call.signal });
    const answered = await firstOf(registry, chain, call, (failure) => {
      failed.push(failure);
      onFailure(failure);
    });
    if (answered) return answered;
  }
  throw routerErrors.LF_ROUTER_NO_ANSWER({ asked: failed.map(({ expert, message }) => `${expert}: ${message}`) });
}

interface Running {
  readonly expert: LiveExpert;
  readonly controller: AbortController;
  /** Never rejects. */
  readonly result: Promise<{ readonly running: Running; readonly asked?: Dispatched; readonly error?: unknown }>;
}

/** One round over the chain. Resolves with nothing when nobody answers. */
async function firstOf(
  registry: ExpertRegistry,
  chain: readonly string[],
  call: ExpertCall,
  onFailure: (failure: ExpertFailure) => void,
): Promise<Dispatched | undefined> {
  const waiting = [...chain];
  const running = new Set<Running>();
  const begin = (): Running | undefined => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const expert = registry.get(name);
      if (!expert || expert.draining || !expert.breaker.enter()) continue;
      const started = start(registry, expert, call);
      running.add(started);
      return started;
    }
    return undefined;
  };
  let latest = begin();
  try {
    while (running.size > 0) {
      const settled = await soonest(running, latest?.expert.settings.hedge_after_ms);
      if (!settled) {
        latest = begin();
        continue;
      }
      running.delete(settled.running);
      if (settled.asked) return settled.asked;
      if (!(settled.error instanceof ExpertFailure)) throw settled.error;
      onFailure(settled.error);
      if (running.size === 0) latest = begin();
    }
    return undefined;
  } finally {
    for (const { controller, result } of running) {
      controller.abort();
      void result.then(({ asked }) => asked?.end('abandoned'));
    }
  }
}

/** The first of the running requests that ends; nothing when none has within the time. */
async function soonest(running: ReadonlySet<Running>, withinMs: number | undefined) {
  const results = [...running].map(({ result }) => result);
  if (withinMs === undefined) return Promise.race(results);
  const timer = new AbortController();
  const late = sleep(withinMs, undefined, { signal: timer.signal }).catch(() => undefined);
  const settled = await Promise.race([...results, late]);
  timer.abort();
  return settled;
}

function start(registry: ExpertRegistry, expert: LiveExpert, call: ExpertCall): Running {
  const controller = new AbortController();
  const signal = AbortSignal.any([call.signal, controller.signal]);
  const running: Running = {
    expert,
    controller,
    result: ask(registry, expert, { ...call, signal }).then(
      (asked) => ({ running, asked }),
      (error: unknown) => ({ running, error }),
    ),
  };
  return running;
}

/** Asks one expert that its circuit lets through, and tells the circuit how it went. */
async function ask(registry: ExpertRegistry, expert: LiveExpert, call: ExpertCall): Promise<Dispatched> {
  const release = expert.begin();
  const begun = performance.now();
  const { span, headers } = expertSpan(expert.name, expert.model, call.trace);
  try {
    const answer = await answerOf(registry, expert, call, headers);
    expert.answeredAfter(performance.now() - begun);
    const end: Dispatched['end'] = (outcome) => {
      release();
      span.setAttribute('largeforge.outcome', outcome);
      span.end();
      if (outcome === 'broken') expert.breaker.failed();
      else if (outcome === 'abandoned') expert.breaker.abandoned();
      else expert.breaker.succeeded();
    };
    return { expert: expert.name, answer, end };
  } catch (error) {
    release();
    failSpan(span, error);
    span.end();
    // Whoever has too much to do is no less well for it.
    if (error instanceof ExpertFailure && !error.busy) expert.breaker.failed();
    else expert.breaker.abandoned();
    throw error;
  }
}

function answerOf(
  registry: ExpertRegistry,
  expert: LiveExpert,
  call: ExpertCall,
  headers: Readonly<Record<string, string>>,
): Promise<ExpertAnswer> {
  const { aggregate: made } = expert.settings;
  if (!made) return attempt(expert, call, headers);
  return aggregate(expert.name, made, call, async (name, memberCall) => {
    const member = registry.get(name);
    if (!member) throw new ExpertFailure(name, 'it is not registered');
    if (member.settings.aggregate) throw new ExpertFailure(name, 'it is made of others itself');
    if (member.draining || !member.breaker.enter()) throw new ExpertFailure(name, 'it cannot be asked now');
    const { answer, end } = await ask(registry, member, memberCall);
    end('complete');
    return answer;
  });
}
