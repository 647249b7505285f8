export interface TrainStep {
  /** From 1. */
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  /** Mean over the target tokens of the optimiser step. */
  readonly loss: number;
  readonly learningRate: number;
  /** Before clipping. */
  readonly gradNorm: number;
  readonly tokensPerSecond: number;
  readonly etaSeconds: number;
  readonly memoryBytes: number;
  /** What the trainer measures besides. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export interface TrainCheckpoint {
  readonly step: number;
  readonly path: string;
}
