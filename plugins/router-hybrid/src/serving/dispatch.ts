import { setTimeout as sleep } from 'node:timers/promises';
import { routerErrors } from '../errors.js';
import type { ExpertRegistry } from '../experts/expert-registry.js';
import { attempt, type ExpertAnswer, type ExpertCall, ExpertFailure } from './attempt.js';

export interface Dispatched {
  /** Who answers. */
  readonly expert: string;
  readonly answer: ExpertAnswer;
  /** Who was asked before and failed. */
  readonly failed: readonly ExpertFailure[];
  /** Call it when the answer has been passed on, with whether all of it came. */
  readonly end: (outcome: 'complete' | 'broken' | 'abandoned') => void;
}

/** Pause before the chain is tried a second time; half of it is chance, so that clients don't come back together. */
const pauseMs = 200;

/**
 * Asks one expert after the other until one answers. When none does, the chain is tried once more: nothing was sent to
 * the client, and an unanswered completion changes nothing, so a second try is safe. Throws LF_ROUTER_NO_ANSWER.
 * @param chain names, the chosen expert first
 */
export async function dispatch(
  registry: ExpertRegistry,
  chain: readonly string[],
  call: ExpertCall,
): Promise<Dispatched> {
  const failed: ExpertFailure[] = [];
  for (let round = 0; round < 2; round++) {
    if (round > 0) await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: call.signal });
    for (const name of chain) {
      const expert = registry.get(name);
      if (!expert || expert.draining || !expert.breaker.enter()) continue;
      const release = expert.begin();
      const start = performance.now();
      try {
        const answer = await attempt(expert, call);
        expert.answeredAfter(performance.now() - start);
        const end: Dispatched['end'] = (outcome) => {
          release();
          if (outcome === 'broken') expert.breaker.failed();
          else if (outcome === 'abandoned') expert.breaker.abandoned();
          else expert.breaker.succeeded();
        };
        return { expert: name, answer, failed, end };
      } catch (error) {
        release();
        if (!(error instanceof ExpertFailure)) {
          expert.breaker.abandoned();
          throw error;
        }
        expert.breaker.failed();
        failed.push(error);
      }
    }
  }
  throw routerErrors.LF_ROUTER_NO_ANSWER({ asked: failed.map(({ expert, message }) => `${expert}: ${message}`) });
}
