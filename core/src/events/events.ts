import type { Refusal } from '../lifecycle/stages.js';
import type { TrainCheckpoint, TrainStep } from '../lifecycle/train-contract.js';

/** `task` is the name of the step that the event is about. */
interface OfTask {
  readonly task: string;
}

/** Everything that a run tells of itself: the command line draws it, servers stream it, trackers log it. */
export type RunEvent =
  | { type: 'pipeline.started'; steps: readonly { name: string; stage: string; use: string }[] }
  | { type: 'pipeline.finished'; seconds: number; ran: readonly string[]; skipped: readonly string[] }
  | { type: 'step.started'; step: string; stage: string; use: string; index: number; total: number; resume: boolean }
  | { type: 'step.skipped'; step: string; reason: string }
  | { type: 'step.finished'; step: string; seconds: number; outputs: Readonly<Record<string, unknown>> }
  | { type: 'step.failed'; step: string; error: { code?: string; message: string; remedy?: string }; refusal?: Refusal }
  | { type: 'progress'; task: string; current: number; total?: number; unit?: string; fields?: Record<string, unknown> }
  | ({ type: 'train.step' } & OfTask & TrainStep)
  | ({ type: 'train.evaluated'; step: number; metrics: Readonly<Record<string, number>> } & OfTask)
  | ({ type: 'train.checkpoint' } & OfTask & TrainCheckpoint)
  | ({ type: 'data.report'; lines: readonly string[]; report: Readonly<Record<string, unknown>> } & OfTask)
  | ({ type: 'memory.estimate'; lines: readonly string[]; estimate: Readonly<Record<string, unknown>> } & OfTask)
  | ({ type: 'plan'; lines: readonly string[] } & OfTask)
  | ({ type: 'table'; columns: readonly string[]; rows: readonly (readonly (string | number)[])[] } & OfTask)
  | { type: 'message'; level: 'debug' | 'info' | 'warn' | 'error'; text: string; fields?: Record<string, unknown> }
  | { type: 'log'; level: string; text: string; plugin?: string; fields: Record<string, unknown> }
  | { type: 'config.changed'; paths: readonly string[]; restart: readonly string[] }
  | { type: 'config.rejected'; error: { code?: string; message: string; remedy?: string } };

export type RunEventType = RunEvent['type'];
export type RunEventOf<Type extends RunEventType> = Extract<RunEvent, { type: Type }>;
export type EventListener<Event extends RunEvent = RunEvent> = (event: Event, time: Date) => void;

/** One typed stream of events. A listener that throws does not disturb the run; what it threw goes to `onError`. */
export class EventBus {
  private readonly listeners = new Set<EventListener>();

  constructor(private readonly onError: (error: unknown, event: RunEvent) => void = () => {}) {}

  emit(event: RunEvent): void {
    const time = new Date();
    for (const listener of [...this.listeners]) {
      try {
        listener(event, time);
      } catch (error) {
        this.onError(error, event);
      }
    }
  }

  /** Hears every event, or those of one type. Returns what ends the subscription. */
  on(listener: EventListener): () => void;
  on<Type extends RunEventType>(type: Type, listener: EventListener<RunEventOf<Type>>): () => void;
  on(first: EventListener | RunEventType, second?: EventListener<never>): () => void {
    const listener: EventListener =
      typeof first === 'function'
        ? (event, time) => first(event, time)
        : (event, time) => {
            if (event.type === first) second!(event as never, time);
          };
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}
