export interface AdaptiveSettings {
  /** Mean score at which an expert's threshold stays where it is. */
  readonly target: number;
  /** How far one score moves a threshold. */
  readonly rate: number;
  /** How far a threshold may go from where it began, up or down. */
  readonly bound: number;
}

export const defaultAdaptive: AdaptiveSettings = { target: 0.7, rate: 0.01, bound: 0.15 };

/** Decisions whose confidence is further above the threshold than this tell nothing of where it should be. */
const near = 0.25;

/**
 * Thresholds that follow what callers say, by stochastic approximation (Robbins and Monro 1951): a score below the target
 * raises the expert's threshold, one above it lowers it, so that answers near the threshold score the target in the mean.
 * They stay within bounds, so that no run of odd feedback opens or shuts an expert.
 */
export class AdaptiveThresholds {
  private readonly offsets = new Map<string, number>();

  constructor(private readonly settings: AdaptiveSettings = defaultAdaptive) {}

  /** What is added to an expert's threshold. */
  offset(expert: string): number {
    return this.offsets.get(expert) ?? 0;
  }

  /**
   * An expert answered, and this is what was said of it.
   * @param confidence and the threshold that it reached, as the decision had them
   */
  answered(expert: string, score: number, confidence: number, threshold: number): void {
    if (confidence - threshold > near) return;
    this.move(expert, this.settings.target - score);
  }

  /** Nobody was chosen for a query that this expert should have answered. */
  missed(expert: string): void {
    this.move(expert, -this.settings.target);
  }

  private move(expert: string, error: number): void {
    const { rate, bound } = this.settings;
    const next = this.offset(expert) + rate * error;
    this.offsets.set(expert, Math.min(bound, Math.max(-bound, next)));
  }
}
