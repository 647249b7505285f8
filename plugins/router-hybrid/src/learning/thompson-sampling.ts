/** Draws by which the probability of each choice is known. */
const draws = 256;

export interface BanditChoice {
  readonly expert: string;
  readonly confidence: number;
}

/**
 * Chooses among likely experts by what callers said of their answers (Thompson 1933; Chapelle and Li 2011). An expert's
 * quality has a Beta posterior over its scores; what is drawn from it, times the router's confidence, is the expert's worth
 * for this query. Experts of which little is known are tried now and then, and good ones more and more often.
 */
export class ThompsonSampling {
  private readonly scores = new Map<string, { good: number; bad: number }>();

  /** @param random uniform in [0, 1) */
  constructor(private readonly random: () => number = Math.random) {}

  /** @param score 0 is useless, 1 is perfect */
  learn(expert: string, score: number): void {
    const known = this.scores.get(expert) ?? { good: 0, bad: 0 };
    this.scores.set(expert, { good: known.good + score, bad: known.bad + 1 - score });
  }

  /**
   * Chooses one. The probability of each is counted over many draws of all posteriors, and the choice is drawn by just
   * these probabilities: the propensity is exact, as off-policy estimates need it.
   */
  choose(likely: readonly BanditChoice[]): { readonly chosen: BanditChoice; readonly propensity: number } {
    const wins = new Array<number>(likely.length).fill(0);
    for (let draw = 0; draw < draws; draw++) {
      let best = 0;
      let highest = -1;
      likely.forEach(({ expert, confidence }, i) => {
        const { good, bad } = this.scores.get(expert) ?? { good: 0, bad: 0 };
        const worth = confidence * this.beta(1 + good, 1 + bad);
        if (worth > highest) [best, highest] = [i, worth];
      });
      wins[best]!++;
    }
    let at = this.random() * draws;
    let index = wins.findIndex((count) => {
      at -= count;
      return at < 0;
    });
    if (index < 0) index = wins.lastIndexOf(Math.max(...wins));
    return { chosen: likely[index]!, propensity: wins[index]! / draws };
  }

  /** Beta(a, b) as a share of two gammas. */
  private beta(a: number, b: number): number {
    const x = this.gamma(a);
    return x / (x + this.gamma(b));
  }

  /** Gamma(shape, 1) for a shape of 1 or more: Marsaglia and Tsang 2000, "A simple method for generating gamma variables". */
  private gamma(shape: number): number {
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      if (v > 0 && Math.log(1 - this.random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
    }
  }

  private normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.random()));
    return radius * Math.cos(2 * Math.PI * this.random());
  }
}
