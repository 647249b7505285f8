import { randomBytes } from 'node:crypto';
import { maskSecretKeys, type PluginContext, type RunEvent, type StepPlan } from '@largeforge/core';
import type { Figures, RunEnd, Tracker } from '../tracker.js';
import { RecordingSession } from './session.js';

/**
 * Records every training that shows figures, each as a run of its own, with every tracker. A run begins with its first
 * figure: a step that fails before it has trained anything leaves none.
 */
export function recordTrainings(
  { hooks, events, log, onDispose }: Pick<PluginContext, 'hooks' | 'events' | 'log' | 'onDispose'>,
  trackers: ReadonlyMap<string, () => Promise<Tracker>>,
): void {
  const plans = new Map<string, StepPlan>();
  const sessions = new Map<string, RecordingSession>();
  const ending = new Set<Promise<void>>();

  const finish = (step: string, end: Omit<RunEnd, 'endedAt'>): Promise<void> => {
    const session = sessions.get(step);
    plans.delete(step);
    sessions.delete(step);
    if (!session) return Promise.resolve();
    const ended = session.finish({ ...end, endedAt: new Date() }).finally(() => ending.delete(ended));
    ending.add(ended);
    return ended;
  };
  const sessionOf = (task: string, time: Date): RecordingSession | undefined => {
    const plan = plans.get(task);
    if (!plan || sessions.has(task)) return sessions.get(task);
    const session = new RecordingSession(
      {
        id: runId(plan.step, time),
        name: plan.step,
        use: plan.use,
        config: maskSecretKeys(plan.options) as Record<string, unknown>,
        startedAt: time,
        resumed: plan.resume,
      },
      trackers,
      log,
    );
    sessions.set(task, session);
    return session;
  };

  hooks.train.before.tap((plan) => void plans.set(plan.step, plan));
  hooks.train.after.tap(({ plan, outputs }) => finish(plan.step, { status: 'finished', outputs }));
  onDispose(
    events.on((event, time) => {
      if (event.type === 'train.step' || event.type === 'train.evaluated') {
        sessionOf(event.task, time)?.record(event.step, figuresOf(event), time);
      } else if (event.type === 'step.failed') {
        const interrupted = event.error.code === 'LF_PIPELINE_INTERRUPTED';
        const status = interrupted ? 'interrupted' : 'failed';
        void finish(event.step, { status, outputs: {}, ...(interrupted ? {} : { error: event.error.message }) });
      }
    }),
  );
  onDispose(async () => {
    for (const step of [...sessions.keys()]) void finish(step, { status: 'interrupted', outputs: {} });
    await Promise.all(ending);
  });
}

/** Names as users of transformers know them. */
function figuresOf(event: Extract<RunEvent, { type: 'train.step' | 'train.evaluated' }>): Figures {
  const prefixed = (prefix: string, figures: Figures = {}) =>
    Object.entries(figures).map(([name, value]): [string, number] => [`${prefix}/${name}`, value]);
  if (event.type === 'train.evaluated') return Object.fromEntries(prefixed('eval', event.metrics));
  return {
    'train/loss': event.loss,
    'train/learning_rate': event.learningRate,
    'train/grad_norm': event.gradNorm,
    'train/epoch': event.epoch,
    'train/tokens_per_second': event.tokensPerSecond,
    'train/memory_bytes': event.memoryBytes,
    ...Object.fromEntries(prefixed('train', event.metrics)),
  };
}

/** `20261129-221530-tune-4f3a91`. */
function runId(step: string, time: Date): string {
  const stamp = time.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  return `${stamp}-${step.replaceAll(/[^\w-]+/g, '-')}-${randomBytes(3).toString('hex')}`;
}
