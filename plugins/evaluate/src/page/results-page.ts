import type { TaskResult, TaskSample } from '../tasks/evaluate-task.js';
import { higherIsBetter } from '../tasks/metrics.js';
import { resultColumns, resultRows } from '../tasks/results.js';
import { barChart } from './charts.js';
import { escapeHtml, facts, page, table } from './html.js';

/** Wrong answers that are shown of each task. */
const SHOWN = 20;

/** Results of tasks to read: figures, charts, and where the model went wrong. */
export function resultsPage(results: readonly TaskResult[], model: string, date: Date): string {
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  const bars = results.flatMap(({ task, metrics }) =>
    [...metrics].flatMap(([key, { value, interval95 }]) => {
      if (!higherIsBetter(key.split(',')[0]!)) return [];
      const label = `${task.config.task} ${key.replace(',none', '')}`;
      return [{ label, value, interval: interval95, text: `${(100 * value).toFixed(1)} %` }];
    }),
  );
  return page('Evaluation', [
    facts([
      ['model', model],
      ['date', date.toISOString().slice(0, 19).replace('T', ' ')],
      ['time', `${seconds.toFixed(1)} s`],
    ]),
    ...(bars.length > 0 ? ['<h2>Scores, with 95 % intervals</h2>', barChart('Scores of every task', bars)] : []),
    '<h2>Figures</h2>',
    table(resultColumns, resultRows(results)),
    ...results.flatMap(wrongAnswers),
  ]);
}

function wrongAnswers({ task, samples }: TaskResult): string[] {
  const wrong = samples.filter(({ scores }) => Object.values(scores)[0] === 0);
  if (wrong.length === 0) return [];
  const shown = wrong.slice(0, SHOWN);
  return [
    `<h2>${escapeHtml(task.config.task)}: ${wrong.length} of ${samples.length} wrong</h2>`,
    ...(shown.length < wrong.length ? [`<p class="soft">The first ${shown.length} of them.</p>`] : []),
    ...shown.map(sampleDetails),
  ];
}

function sampleDetails({ item, filter, likelihoods, answer, filtered }: TaskSample): string {
  const prompt = item.generation?.prompt ?? item.pairs![0]!.context;
  const text =
    typeof prompt === 'string' ? prompt : prompt.map(({ role, content }) => `${role}: ${content}`).join('\n');
  const last = text.trim().split('\n').slice(-2).join(' ');
  const gold = [item.target].flat();
  const outcome = likelihoods
    ? table(
        ['', 'choice', 'log-likelihood'],
        likelihoods.map(({ logLikelihood }, i) => [
          gold.includes(i) ? 'right' : '',
          (item.choices?.[i] ?? item.pairs![i]!.continuation).slice(0, 200),
          logLikelihood.toFixed(3),
        ]),
      )
    : `${facts([
        ['wanted', gold.join(' | ')],
        ['answered', filtered],
        ['filter', filter],
      ])}<pre>${escapeHtml(answer?.text ?? '')}</pre>`;
  return `<details><summary>${item.index}: ${escapeHtml(last.slice(-120))}</summary><pre>${escapeHtml(text)}</pre>${outcome}</details>`;
}
