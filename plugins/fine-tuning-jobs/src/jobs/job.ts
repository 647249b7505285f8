import { z } from 'zod';

const auto = z.literal('auto');
const hyperparameters = z.looseObject({
  n_epochs: z.union([auto, z.int().min(1).max(1000)]).default('auto'),
  batch_size: z.union([auto, z.int().min(1).max(4096)]).default('auto'),
  learning_rate_multiplier: z.union([auto, z.number().positive()]).default('auto'),
  beta: z.union([auto, z.number().positive()]).optional().describe('of dpo'),
});

/** The body of `POST /v1/fine_tuning/jobs`. */
export const jobRequest = z.object({
  model: z.string().min(1),
  training_file: z.string().min(1),
  validation_file: z.string().min(1).nullish(),
  suffix: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[\w.-]+$/, 'expected letters, digits, ".", "_" and "-"')
    .nullish()
    .describe('of the name of the fine-tuned model'),
  seed: z.int().nonnegative().nullish(),
  hyperparameters: hyperparameters.optional().describe('where method gives none'),
  method: z
    .looseObject({
      type: z.enum(['supervised', 'dpo', 'reinforcement']),
      supervised: z.looseObject({ hyperparameters: hyperparameters.optional() }).optional(),
      dpo: z.looseObject({ hyperparameters: hyperparameters.optional() }).optional(),
    })
    .optional(),
  integrations: z.array(z.unknown()).nullish(),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
});

export type JobRequest = z.output<typeof jobRequest>;

export type JobStatus = 'validating_files' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

/** A job as OpenAI describes it. */
export interface Job {
  readonly id: string;
  readonly object: 'fine_tuning.job';
  readonly model: string;
  readonly created_at: number;
  readonly finished_at: number | null;
  readonly fine_tuned_model: string | null;
  readonly organization_id: string;
  readonly status: JobStatus;
  readonly training_file: string;
  readonly validation_file: string | null;
  readonly hyperparameters: Readonly<Record<string, number | string>>;
  readonly method: { readonly type: 'supervised' | 'dpo' } & Readonly<Record<string, unknown>>;
  readonly user_provided_suffix: string | null;
  readonly seed: number;
  readonly trained_tokens: number | null;
  readonly estimated_finish: number | null;
  readonly result_files: readonly string[];
  readonly integrations: readonly [];
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly error: { readonly code: string; readonly message: string; readonly param: string | null } | null;
}

/** What a job tells while it runs. */
export interface JobEvent {
  readonly id: string;
  readonly object: 'fine_tuning.job.event';
  readonly created_at: number;
  readonly level: 'info' | 'warn' | 'error';
  readonly type: 'message' | 'metrics';
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface JobCheckpoint {
  readonly id: string;
  readonly object: 'fine_tuning.job.checkpoint';
  readonly created_at: number;
  readonly fine_tuning_job_id: string;
  readonly fine_tuned_model_checkpoint: string;
  readonly step_number: number;
  readonly metrics: Readonly<Record<string, number>>;
}

const ended: readonly JobStatus[] = ['succeeded', 'failed', 'cancelled'];

export const hasEnded = ({ status }: Pick<Job, 'status'>): boolean => ended.includes(status);
