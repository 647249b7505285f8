import { logSigmoid, sigmoid } from '../losses/pair-losses.js';
import type { PairMethod } from '../pairs.js';

/**
 * ORPO, Hong et al. 2024 (arXiv 2403.07691), eqs. 6 and 7: the cross-entropy of the chosen answer, and beta (the paper's
 * lambda) times -ln sigmoid of the log odds ratio, on mean log-probabilities. As TRL has it, the cross-entropy counts
 * the prompt too.
 */
export function orpoMethod({ beta }: { readonly beta: number }): PairMethod {
  return {
    name: `orpo ${JSON.stringify({ beta })}`,
    average: true,
    learnPrompts: true,
    judge({ chosen, rejected, chosenNll }) {
      const pairs = chosen.map((logp, i) => oddsRatio(logp, rejected[i] as number));
      const mean = (of: (pair: OddsRatio) => number) => pairs.reduce((sum, pair) => sum + of(pair), 0) / pairs.length;
      const ratio = mean(({ logOdds }) => logSigmoid(logOdds));
      const slope = ({ logOdds }: OddsRatio) => (-beta * sigmoid(-logOdds)) / pairs.length;
      return {
        loss: chosenNll - beta * ratio,
        chosen: pairs.map((pair) => slope(pair) * pair.chosen),
        rejected: pairs.map((pair) => -slope(pair) * pair.rejected),
        nll: 1,
        rewards: { chosen: chosen.map((logp) => beta * logp), rejected: rejected.map((logp) => beta * logp) },
        metrics: { nll_loss: chosenNll, log_odds_ratio: ratio, log_odds_chosen: mean(({ logOdds }) => logOdds) },
      };
    },
  };
}

interface OddsRatio {
  /** ln (odds of chosen / odds of rejected) */
  readonly logOdds: number;
  /** Derivatives of either log odds by its log-probability. */
  readonly chosen: number;
  readonly rejected: number;
}

/** The odds of an answer of probability p are p / (1 - p); their logarithm has the derivative 1 / (1 - p) by ln p. */
function oddsRatio(chosen: number, rejected: number): OddsRatio {
  const slope = (logp: number) => -1 / Math.expm1(logp);
  return {
    logOdds: chosen - rejected - (log1mExp(chosen) - log1mExp(rejected)),
    chosen: slope(chosen),
    rejected: slope(rejected),
  };
}

/** ln(1 - e^x) for x < 0, exact at both ends (Maechler 2012, "Accurately computing log(1 - exp(-|a|))"). */
function log1mExp(x: number): number {
  return x > -Math.LN2 ? Math.log(-Math.expm1(x)) : Math.log1p(-Math.exp(x));
}
