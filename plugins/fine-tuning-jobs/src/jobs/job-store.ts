import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeJson } from '@largeforge/engine';
import { refusals } from '../http/refusal.js';
import type { Job, JobCheckpoint, JobEvent } from './job.js';

/** A job, and what of it only the server sees. */
export interface JobRecord {
  readonly job: Job;
  readonly checkpoints: readonly JobCheckpoint[];
  /** Its place among the jobs: many may be created in the one second that `created_at` tells. */
  readonly sequence: number;
  /** Of its training while it runs. */
  readonly process?: number;
}

type Listener = (event: JobEvent) => void;

/** Jobs on disk, a folder each: `job.json`, replaced as a whole, and `events.jsonl`. */
export class JobStore {
  private readonly records = new Map<string, JobRecord>();
  private readonly events = new Map<string, JobEvent[]>();
  private readonly listeners = new Map<string, Set<Listener>>();

  constructor(private readonly folder: string) {
    mkdirSync(folder, { recursive: true });
    for (const id of readdirSync(folder)) {
      const file = join(folder, id, 'job.json');
      if (existsSync(file)) this.records.set(id, readJson(file) as unknown as JobRecord);
    }
  }

  /** The newest first. */
  list(): JobRecord[] {
    return [...this.records.values()].sort((a, b) => b.sequence - a.sequence);
  }

  get(id: string): JobRecord {
    const record = this.records.get(id);
    if (!record) throw refusals.noJob(id);
    return record;
  }

  folderOf(id: string): string {
    return join(this.folder, id);
  }

  add(job: Job): JobRecord {
    mkdirSync(this.folderOf(job.id), { recursive: true });
    const sequence = 1 + Math.max(0, ...[...this.records.values()].map((record) => record.sequence));
    return this.save({ job, checkpoints: [], sequence });
  }

  /** Changes a job, also the server's own part of it. */
  update(id: string, job: Partial<Job>, own: Partial<Omit<JobRecord, 'job'>> = {}): JobRecord {
    const record = this.get(id);
    return this.save({ ...record, ...own, job: { ...record.job, ...job } });
  }

  /** What a job has told, the oldest first. A line that a crash cut off is passed over. */
  eventsOf(id: string): readonly JobEvent[] {
    const known = this.events.get(id);
    if (known) return known;
    const file = join(this.folderOf(this.get(id).job.id), 'events.jsonl');
    const events: JobEvent[] = [];
    for (const line of existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []) {
      try {
        events.push(JSON.parse(line));
      } catch {
        // The rest of the file is of whole lines.
      }
    }
    this.events.set(id, events);
    return events;
  }

  tell(
    id: string,
    message: string,
    { level = 'info', type = 'message', data = {} }: Partial<Pick<JobEvent, 'level' | 'type' | 'data'>> = {},
  ): void {
    const event: JobEvent = {
      id: `ftevent-${randomBytes(12).toString('hex')}`,
      object: 'fine_tuning.job.event',
      created_at: Math.floor(Date.now() / 1000),
      level,
      type,
      message,
      data,
    };
    (this.eventsOf(id) as JobEvent[]).push(event);
    appendFileSync(join(this.folderOf(id), 'events.jsonl'), `${JSON.stringify(event)}\n`);
    for (const listener of this.listeners.get(id) ?? []) listener(event);
  }

  /** Hears what a job tells from now on; returns what ends it. */
  listen(id: string, listener: Listener): () => void {
    const listeners = this.listeners.get(id) ?? new Set();
    this.listeners.set(id, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  private save(record: JobRecord): JobRecord {
    writeJson(join(this.folderOf(record.job.id), 'job.json'), record);
    this.records.set(record.job.id, record);
    return record;
  }
}
