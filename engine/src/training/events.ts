/** What a run tells while it goes on. */
export type TrainingEvent =
  | {
      readonly type: 'step';
      /** Steps that are done. */
      readonly step: number;
      readonly totalSteps: number;
      readonly epoch: number;
      readonly loss: number;
      readonly learningRate: number;
      readonly gradNorm: number;
      readonly tokensPerSecond: number;
      readonly etaSeconds: number;
      /** Bytes that the device holds for the run, at most so far. */
      readonly memoryBytes: number;
      readonly metrics: Readonly<Record<string, number>>;
    }
  | { readonly type: 'evaluated'; readonly step: number; readonly metrics: Readonly<Record<string, number>> }
  | { readonly type: 'checkpoint'; readonly step: number; readonly path: string }
  | { readonly type: 'resumed'; readonly step: number; readonly path: string }
  | { readonly type: 'damaged'; readonly path: string; readonly reason: string }
  /** A step that changed nothing: its gradients overflowed f16, or its loss lay far above those before it. */
  | {
      readonly type: 'skipped';
      readonly step: number;
      readonly reason: 'overflow' | 'spike';
      readonly loss: number;
      readonly gradNorm: number;
    }
  /** A spike at `from`: the run went back to the checkpoint of step `step`, and goes on with later rows. */
  | { readonly type: 'rolledBack'; readonly step: number; readonly from: number; readonly path: string }
  | { readonly type: 'stopped'; readonly step: number; readonly reason: string };
