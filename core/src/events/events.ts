import type { CheckpointEvent, TrainStep } from '../lifecycle/contracts.js';

/** Everything that a run tells of itself: the command line draws it, servers stream it, trackers log it. */
export type RunEvent =
  | { type: 'step.started'; step: string; stage: string; use: string; index: number; total: number }
  | { type: 'step.skipped'; step: string; reason: string }
  | { type: 'step.finished'; step: string; seconds: number; outputs: Record<string, unknown> }
  | { type: 'step.failed'; step: string; error: { code?: string; message: string; remedy?: string } }
  | { type: 'progress'; task: string; current: number; total?: number; unit?: string; fields?: Record<string, unknown> }
  | ({ type: 'train.step'; task: string } & TrainStep)
  | ({ type: 'train.evaluated'; task: string } & { step: number; metrics: Record<string, number> })
  | ({ type: 'train.checkpoint'; task: string } & CheckpointEvent)
  | { type: 'data.report'; task: string; lines: string[]; report: Record<string, unknown> }
  | { type: 'memory.estimate'; task: string; lines: string[]; estimate: Record<string, unknown> }
  | { type: 'plan'; task: string; lines: string[] }
  | { type: 'table'; task: string; columns: string[]; rows: (string | number)[][] }
  | { type: 'message'; level: 'debug' | 'info' | 'warn' | 'error'; text: string; fields?: Record<string, unknown> };

export type EventListener = (event: RunEvent, time: Date) => void;

/** One typed stream of events. A listener that throws does not disturb the run; what it threw goes to `onError`. */
export class EventBus {
  private readonly listeners = new Set<EventListener>();

  constructor(private readonly onError: (error: unknown) => void = () => {}) {}

  emit(event: RunEvent): void {
    const time = new Date();
    for (const listener of this.listeners) {
      try {
        listener(event, time);
      } catch (error) {
        this.onError(error);
      }
    }
  }

  /** Returns what ends the subscription. */
  on(listener: EventListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}
