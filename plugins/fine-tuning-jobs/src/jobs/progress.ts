import { randomBytes } from 'node:crypto';
import type { RunEvent } from '@largeforge/core';
import type { JobStore } from './job-store.js';

type Figures = Record<string, number>;

/** Turns what a training tells into events and checkpoints of its job. */
export class JobProgress {
  /** Why the training failed, as it told itself. */
  failure: { readonly code: string; readonly message: string } | undefined;
  private readonly rows = new Map<number, Figures>();
  private tokensOfData: number | undefined;
  private epochs = 0;

  constructor(
    private readonly store: JobStore,
    private readonly job: string,
  ) {
    // A job that goes on keeps the figures of its earlier steps.
    for (const { type, data } of store.eventsOf(job))
      if (type === 'metrics') this.row(Number(data.step), data as Figures);
  }

  /** Tokens that were trained on. */
  get tokens(): number {
    return Math.round((this.tokensOfData ?? 0) * this.epochs);
  }

  take(event: RunEvent): void {
    const { store, job } = this;
    switch (event.type) {
      case 'train.step': {
        const { step, totalSteps, loss, learningRate, gradNorm, etaSeconds, metrics } = event;
        const data = {
          ...metrics,
          step,
          total_steps: totalSteps,
          train_loss: loss,
          learning_rate: learningRate,
          grad_norm: gradNorm,
        };
        this.epochs = event.epoch;
        this.row(step, data);
        store.tell(job, `Step ${step}/${totalSteps}: training loss=${loss.toFixed(4)}`, { type: 'metrics', data });
        // Not at every step: the file is written anew.
        if (step === 1 || step % 50 === 0) {
          store.update(job, { estimated_finish: Math.ceil(Date.now() / 1000 + etaSeconds) });
        }
        return;
      }
      case 'train.evaluated': {
        const data = { step: event.step, full_valid_loss: event.metrics.loss as number, ...renamed(event.metrics) };
        this.row(event.step, data);
        store.tell(job, `Step ${event.step}: validation loss=${data.full_valid_loss.toFixed(4)}`, {
          type: 'metrics',
          data,
        });
        return;
      }
      case 'train.checkpoint': {
        const { checkpoints } = store.get(job);
        if (checkpoints.some(({ step_number: step }) => step === event.step)) return;
        const { train_loss, full_valid_loss } = this.rows.get(event.step) ?? {};
        const metrics = {
          step: event.step,
          ...(train_loss !== undefined && { train_loss }),
          ...(full_valid_loss !== undefined && { full_valid_loss }),
        };
        const checkpoint = {
          id: `ftckpt_${randomBytes(12).toString('hex')}`,
          object: 'fine_tuning.job.checkpoint' as const,
          created_at: Math.floor(Date.now() / 1000),
          fine_tuning_job_id: job,
          fine_tuned_model_checkpoint: event.path,
          step_number: event.step,
          metrics,
        };
        store.update(job, {}, { checkpoints: [...checkpoints, checkpoint] });
        return;
      }
      case 'data.report': {
        const { tokens } = event.report as { tokens?: unknown };
        // The training data come first, then those that are held out.
        if (typeof tokens === 'number') this.tokensOfData ??= tokens;
        store.tell(job, event.lines.join('\n'));
        return;
      }
      case 'step.failed':
        this.failure = { code: event.error.code ?? 'training_failed', message: event.error.message };
        return;
      case 'message':
        if (event.level === 'warn' || event.level === 'error') store.tell(job, event.text, { level: event.level });
    }
  }

  /** `step_metrics.csv`: a row for each step. */
  table(): string {
    const columns = ['step', ...new Set([...this.rows.values()].flatMap((row) => Object.keys(row)))].filter(
      (name, i, all) => all.indexOf(name) === i && name !== 'total_steps',
    );
    const rows = [...this.rows]
      .sort(([a], [b]) => a - b)
      .map(([, row]) => columns.map((name) => row[name] ?? '').join(','));
    return `${[columns.join(','), ...rows].join('\n')}\n`;
  }

  private row(step: number, figures: Figures): void {
    this.rows.set(step, { ...this.rows.get(step), ...figures });
  }
}

/** `accuracy` -> `valid_accuracy`; the loss has a name of its own. */
function renamed(metrics: Readonly<Figures>): Figures {
  const others = Object.entries(metrics).filter(([name]) => name !== 'loss');
  return Object.fromEntries(others.map(([name, value]) => [`valid_${name}`, value]));
}
