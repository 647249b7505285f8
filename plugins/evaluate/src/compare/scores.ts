import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { evaluateErrors } from '../errors.js';
import { readRows } from '../tasks/documents.js';
import type { Score } from '../tasks/metrics.js';
import { readTextFile } from '../text-file.js';

/** Scores of single documents by what they are: "arc_easy acc,none", "accuracy", "perplexity". */
export type DocumentScores = ReadonlyMap<string, ReadonlyMap<string, Score>>;

/** Reads what an evaluation step has written: the `results` that it gives out. */
export function readDocumentScores(file: string): DocumentScores {
  const fail = (reason: string) => evaluateErrors.LF_EVALUATE_RESULTS({ file, reason });
  let results: Record<string, unknown>;
  try {
    results = JSON.parse(readTextFile(file));
  } catch (cause) {
    if (cause instanceof SyntaxError) throw fail(cause.message);
    throw cause;
  }
  const scores = new Map<string, Map<string, Score>>();
  const add = (name: string, document: string, score: Score) => {
    if (!scores.has(name)) scores.set(name, new Map());
    scores.get(name)!.set(document, score);
  };
  const { answers, windowScores, results: tasks } = results;
  if (Array.isArray(answers)) {
    // exact-match: questions are told apart by their place.
    answers.forEach(({ question, correct }, i) => void add('accuracy', `${i}: ${question}`, Number(correct)));
  } else if (Array.isArray(windowScores)) {
    windowScores.forEach(([logLikelihood, weight], i) => void add('perplexity', String(i), { logLikelihood, weight }));
  } else if (typeof tasks === 'object' && tasks !== null) {
    for (const task of Object.keys(tasks)) {
      const samples = join(dirname(file), `samples_${task}.jsonl`);
      if (!existsSync(samples)) throw fail(`${samples}, which belongs to it, is missing`);
      for (const row of readRows(samples)) {
        for (const metric of row.metrics as string[]) {
          const value = row[metric] as number | [number, number];
          const score = typeof value === 'number' ? value : { logLikelihood: value[0], weight: value[1] };
          add(`${task} ${metric},${row.filter}`, JSON.stringify([row.doc_id, row.doc]), score);
        }
      }
    }
  } else throw fail('it is no results file of exact-match, perplexity or tasks');
  return scores;
}
