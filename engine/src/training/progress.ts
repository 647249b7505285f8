/** Steps over which the speed is measured. */
const window = 20;

/** Measures how fast a run goes. Times are in milliseconds of a monotonic clock. */
export class Progress {
  /** When each of the last steps ended, and the tokens done until then. */
  private readonly marks: { time: number; tokens: number; step: number }[];
  private tokens = 0;

  constructor(
    private readonly totalSteps: number,
    step: number,
    time: number,
  ) {
    this.marks = [{ time, tokens: 0, step }];
  }

  /** Counts a finished step. */
  advance(step: number, tokens: number, time: number): { tokensPerSecond: number; etaSeconds: number } {
    this.tokens += tokens;
    this.marks.push({ time, tokens: this.tokens, step });
    if (this.marks.length > window + 1) this.marks.shift();
    const [first] = this.marks as [{ time: number; tokens: number; step: number }];
    const seconds = Math.max(time - first.time, 1e-3) / 1000;
    return {
      tokensPerSecond: (this.tokens - first.tokens) / seconds,
      etaSeconds: ((this.totalSteps - step) * seconds) / (step - first.step),
    };
  }

  /** Leaves time out that was spent on something else: an evaluation, a checkpoint. */
  pause(milliseconds: number): void {
    for (const mark of this.marks) mark.time += milliseconds;
  }
}
