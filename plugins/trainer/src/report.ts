import type { StepContext } from '@largeforge/core';
import type { TrainingEvent } from '@largeforge/engine';

/** Passes what the loop tells on to the run's events and the hooks of training. */
export async function report(context: StepContext<'train'>, event: TrainingEvent): Promise<void> {
  const { events, hooks, name: task } = context;
  switch (event.type) {
    case 'step':
      events.emit({ ...event, type: 'train.step', task });
      hooks.step.fire(event);
      return;
    case 'evaluated':
      events.emit({ type: 'train.evaluated', task, step: event.step, metrics: event.metrics });
      return;
    case 'checkpoint':
      events.emit({ type: 'train.checkpoint', task, step: event.step, path: event.path });
      await hooks.checkpoint.fire({ step: event.step, path: event.path });
      return;
    case 'resumed':
      events.emit({
        type: 'message',
        level: 'info',
        text:
          event.step === 0
            ? 'there is no checkpoint yet: from the beginning'
            : `goes on at step ${event.step}, from ${event.path}`,
      });
      return;
    case 'damaged':
      events.emit({
        type: 'message',
        level: 'warn',
        text: `the checkpoint ${event.path} is damaged (${event.reason}); the one before it is taken`,
      });
      return;
    case 'skipped':
      events.emit({
        type: 'message',
        level: event.reason === 'overflow' ? 'info' : 'warn',
        text:
          event.reason === 'overflow'
            ? `step ${event.step} changes nothing: its gradients overflow f16, the loss scale is lowered`
            : `step ${event.step} changes nothing: loss ${event.loss} and gradient norm ${event.gradNorm} lie far above those before`,
      });
      return;
    case 'rolledBack':
      events.emit({
        type: 'message',
        level: 'warn',
        text: `step ${event.from} lies far above those before it: back to step ${event.step} (${event.path}), on with later rows`,
      });
      return;
    case 'stopped':
      events.emit({ type: 'message', level: 'info', text: `stops at step ${event.step}: ${event.reason}` });
  }
}
