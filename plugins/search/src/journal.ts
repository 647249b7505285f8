import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeJson } from '@largeforge/engine';
import type { TrialOutcome } from './trial.js';

interface Journal {
  readonly version: 1;
  /** The search that it is of: one with other options begins anew. */
  readonly search: unknown;
  readonly outcomes: Readonly<Record<string, TrialOutcome>>;
}

/** What trials of a search came to, on disk: a search that is resumed does not repeat them. */
export class SearchJournal {
  readonly path: string;
  /** Whether it goes on where the same search was interrupted. */
  readonly continues: boolean;
  private readonly outcomes: Record<string, TrialOutcome>;

  constructor(
    folder: string,
    private readonly search: unknown,
    resume: boolean,
  ) {
    this.path = join(folder, 'search.json');
    const earlier = resume && existsSync(this.path) ? (readJson(this.path) as unknown as Journal) : undefined;
    this.continues = earlier?.version === 1 && JSON.stringify(earlier.search) === JSON.stringify(search);
    this.outcomes = this.continues ? { ...earlier?.outcomes } : {};
    // Before the first trial ends there is something to go on from, too.
    if (!this.continues) this.write();
  }

  get(trial: string): TrialOutcome | undefined {
    return this.outcomes[trial];
  }

  set(trial: string, outcome: TrialOutcome): void {
    this.outcomes[trial] = outcome;
    this.write();
  }

  private write(): void {
    writeJson(this.path, { version: 1, search: this.search, outcomes: this.outcomes } satisfies Journal);
  }
}
