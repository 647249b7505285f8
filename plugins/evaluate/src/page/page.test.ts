import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Evaluation, tinyBase } from '../evaluate.fixture.js';
import { barChart, differenceChart } from './charts.js';
import { escapeHtml, page, table } from './html.js';

describe('charts', () => {
  it('draw bars as long as their values, and intervals around them', () => {
    const svg = barChart('Scores', [
      { label: 'half', value: 0.5, interval: [0.4, 0.6], text: '50 %' },
      { label: 'all', value: 1, interval: [0.9, 1], text: '100 %' },
    ]);
    const widths = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width));
    expect(widths[1]).toBeCloseTo(2 * widths[0]!, 5);
    expect(svg).toContain('aria-label="Scores"');
    const ends = [...svg.matchAll(/<line x1="([\d.]+)"[^>]*x2="([\d.]+)"/g)].map(
      ([, from, to]) => Number(to) - Number(from),
    );
    expect(ends[0]).toBeCloseTo(0.4 * widths[0]!, 0);
  });

  it('draw differences on both sides of none', () => {
    const svg = differenceChart('Differences', [
      { label: 'up', value: 0.2, interval: [0.1, 0.3], text: '+0.2', colour: 'good' },
      { label: 'down', value: -0.2, interval: [-0.3, -0.1], text: '-0.2', colour: 'bad' },
    ]);
    const [up, down] = [...svg.matchAll(/cx="([\d.]+)"/g)].map(([, x]) => Number(x));
    const centre = Number(/<line x1="([\d.]+)"/.exec(svg)![1]);
    expect(up! - centre).toBeCloseTo(centre - down!, 1);
    expect(differenceChart('None', [])).toContain('<svg');
  });
});

describe('pages', () => {
  it('escape what they are given, and need nothing from elsewhere', () => {
    const html = page('<script>alert(1)</script>', [table(['a & b'], [['<b>', `"'`]])]);
    expect(html).not.toContain('<script>');
    expect(html).not.toContain('<b>');
    expect(html).not.toMatch(/src=|href=|@import|url\(/);
    expect(escapeHtml(`<&>"'`)).toBe('&lt;&amp;&gt;&quot;&#39;');
  });

  it('show figures and wrong answers of an evaluation', async () => {
    await using evaluation = await Evaluation.start();
    const rows = ['A', 'B'].map((answerKey) => ({
      question: 'Is <this> a question?',
      choices: { text: ['yes & no', 'no'], label: ['A', 'B'] },
      answerKey,
    }));
    const data = { arc_easy: evaluation.write('arc.jsonl', rows) };
    const outputs = await evaluation.run('tasks', { model: tinyBase, dtype: 'f32', tasks: 'arc_easy', data });
    const html = readFileSync(outputs.page as string, 'utf8');
    // The questions are the same and their answers are not: one of the two is wrong.
    expect(html).toContain('arc_easy: 1 of 2 wrong');
    expect(html).toContain('Is &lt;this&gt; a question?');
    expect(html).toContain('yes &amp; no');
    expect(html).toContain('50.0 %');
    const { results } = outputs;
    const { page: comparison } = await evaluation.run('compare', { baseline: results, candidate: results });
    expect(readFileSync(comparison as string, 'utf8')).toContain('Candidate minus baseline: more is better');
  });
});
