import { reasonOf } from '../../kernel/errors.js';
import type { Diagnosis, Finding } from '../../lifecycle/diagnosis.js';

/** What a plugin found, and under which id it told it. */
export interface DiagnosisReport extends Finding {
  readonly id: string;
  readonly plugin: string;
}

/** The registry of diagnoses, as far as the report reads it. */
export interface DiagnosisSource {
  describe(): readonly { id: string; plugin: string }[];
  load(id: string): Promise<Diagnosis>;
}

/** Asks every plugin that has something to tell; one that fails is told of, and keeps nobody else from telling. */
export function runDiagnoses(source: DiagnosisSource, environment: NodeJS.ProcessEnv): Promise<DiagnosisReport[]> {
  return Promise.all(
    source.describe().map(async ({ id, plugin }) => {
      try {
        return { id, plugin, ...(await (await source.load(id)).inspect(environment)) };
      } catch (error) {
        const reason = reasonOf(error);
        return { id, plugin, label: id, lines: [`${plugin} could not tell: ${reason}`], facts: { reason } };
      }
    }),
  );
}
