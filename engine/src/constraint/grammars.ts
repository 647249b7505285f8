import { defineEngineErrors } from '../errors.js';
import type { TokenConstraint } from '../generation/request.js';
import type { GrammarSpec } from './grammar-spec.js';
import { GrammarThread } from './thread.js';
import { byteLevelVocabulary, type GrammarVocabulary } from './vocabulary.js';

/** How long a grammar may take to be read. */
const CHECK_MILLISECONDS = 5000;

export const constraintErrors = defineEngineErrors({
  GRAMMAR: {
    message: (args: { kind: string; reason: string }) => `the ${args.kind} cannot be used: ${args.reason}`,
    remedy: () => 'Correct it, or make it simpler.',
  },
});

/**
 * Constrains texts of one model to grammars (XGrammar, Dong et al. 2024). Grammars are compiled and masks worked out on a
 * thread of their own, so that neither the event loop nor other texts wait. A grammar is first read on another thread:
 * one that is wrong, or that takes too long, harms only the request that brought it.
 */
export class Grammars {
  private readonly thread: Promise<GrammarThread>;
  private checker: GrammarThread | undefined;
  private nextMatcher = 1;

  constructor(vocabulary: GrammarVocabulary) {
    const { vocabSize, stopTokenIds } = vocabulary;
    this.thread = byteLevelVocabulary(vocabulary).then(
      (tokens) => new GrammarThread({ vocabulary: { tokens, vocabSize, stop: stopTokenIds } }),
    );
  }

  /** A constraint for one text. Throws LF_ENGINE_GRAMMAR when the grammar is wrong. */
  async constrain(spec: GrammarSpec): Promise<TokenConstraint> {
    await this.check(spec);
    const thread = await this.thread;
    const matcher = this.nextMatcher++;
    let pending: Promise<Uint32Array | undefined> | undefined = thread.call({ call: 'open', matcher, spec });
    // The answer may come, or fail, before anybody asks.
    pending.catch(() => {});
    return {
      next: () => pending,
      accept: (token) => {
        pending = thread.call({ call: 'advance', matcher, token });
        pending.catch(() => {});
        // The mask of a complete text allows nothing but an end token.
        return false;
      },
      dispose: () => void thread.call({ call: 'close', matcher }).catch(() => {}),
    };
  }

  async close(): Promise<void> {
    await Promise.all([this.thread.then((thread) => thread.close()), this.checker?.close()]);
  }

  private async check(spec: GrammarSpec): Promise<void> {
    this.checker ??= new GrammarThread({});
    const { checker } = this;
    try {
      await checker.call({ call: 'check', spec }, CHECK_MILLISECONDS);
    } catch (cause) {
      if (this.checker === checker) this.checker = undefined;
      void checker.close();
      throw constraintErrors.GRAMMAR({ kind: spec.kind, reason: (cause as Error).message }, { cause });
    }
  }
}
