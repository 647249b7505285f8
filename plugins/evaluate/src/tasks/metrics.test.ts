import { describe, expect, it } from 'vitest';
import { aggregate } from './aggregate.js';
import { filterChains, pythonRegExp } from './filters.js';
import { answerScore, likelihoodScores, tokenF1 } from './metrics.js';

const plain = { ignore_case: false, ignore_punctuation: false, ignore_numbers: false, regexes_to_ignore: [] };
const gsm8k = ['#### 18', '18', '$1,800. #### 18', 'x\n#### 18.'];

describe('metrics', () => {
  it('compare answers by the rules of the task', () => {
    // exact_match_hf_evaluate of lm-evaluation-harness, with the rules of its GSM8K task.
    const metric = {
      ...plain,
      metric: 'exact_match',
      ignore_case: true,
      regexes_to_ignore: [',', '\\$', '(?s).*#### ', '\\.$'],
    };
    const score = (answer: string, target: string) => answerScore(answer, { index: 0, document: {}, target }, metric);
    for (const answer of gsm8k) expect(score(answer, 'two lines\n#### 18'), answer).toBe(1);
    expect(score('1,800', '#### 1800')).toBe(1);
    expect(score('180', '#### 18')).toBe(0);
    const loose = { ...plain, metric: 'exact_match', ignore_punctuation: true, ignore_numbers: true };
    expect(answerScore('a-b7!', { index: 0, document: {}, target: 'ab' }, loose)).toBe(1);
  });

  it('take the best of several right answers, and the text of a choice by its index', () => {
    const item = { index: 0, document: {}, target: ['Paris', 'City of Light'] };
    expect(answerScore('City of Light', item, { ...plain, metric: 'exact_match' })).toBe(1);
    expect(answerScore('in Paris now', item, { ...plain, metric: 'contains' })).toBe(1);
    const choice = { index: 0, document: {}, target: 1, choices: ['no', 'yes'] };
    expect(answerScore('yes', choice, { ...plain, metric: 'exact_match' })).toBe(1);
    expect(answerScore('call 555', { ...item, target: '^call \\d+$' }, { ...plain, metric: 'matches' })).toBe(1);
  });

  it('give F1 as the evaluation script of SQuAD 1.1 does', () => {
    expect(tokenF1('the cat sat on the mat', 'a cat on a mat')).toBeCloseTo(6 / 7, 10);
    expect(tokenF1('The Cat!', 'cat')).toBe(1);
    expect(tokenF1('no no no', 'no')).toBeCloseTo(0.5, 10);
    expect(tokenF1('dog', 'cat')).toBe(0);
    expect(tokenF1('', 'cat')).toBe(0);
  });

  it('choose by likelihood, by characters and by bytes; the first of equals', () => {
    const item = { index: 0, document: {}, target: 1, choices: ['no', 'éé', 'not at all'] };
    const of = (...logLikelihoods: number[]) =>
      likelihoodScores(
        item,
        logLikelihoods.map((logLikelihood, i) => ({ logLikelihood, greedy: i === 1 })),
        'multiple_choice',
      );
    expect(of(-4, -3, -9)).toMatchObject({ acc: 1, acc_norm: 0, acc_bytes: 1, exact_match: 1 });
    expect(of(-3, -3, -99)).toMatchObject({ acc: 0 });
    expect(of(-3, -2.5, -99)).toMatchObject({ acc_norm: 1 });
  });

  it('are averaged with the standard error of a mean', () => {
    // statistics.stdev([1, 0, 1, 1, 0]) / 5 ** 0.5
    expect(aggregate('acc', [1, 0, 1, 1, 0]).standardError).toBeCloseTo(0.244948974278318, 12);
    expect(aggregate('acc', [1]).standardError).toBe(0);
    const f1 = aggregate('f1', [0.2, 0.9, 0.4, 0.5]);
    expect(f1.value).toBeCloseTo(0.5, 12);
    expect(f1.interval95[0]).toBeGreaterThanOrEqual(0.2);
    expect(f1.interval95[1]).toBeLessThanOrEqual(0.9);
  });
});

describe('filters', () => {
  const chain = (filter: { function: string; [key: string]: unknown }[]) =>
    filterChains({ filter_list: [{ name: 'own', filter }] })[0]!.apply;

  it('take numbers out of answers as lm-evaluation-harness does', () => {
    // RegexFilter(...).apply([[text]], [{}])
    const flexible = chain([
      { function: 'regex', group_select: -1, regex_pattern: '(-?[$0-9.,]{2,})|(-?[0-9]+)' },
      { function: 'take_first' },
    ]);
    expect(flexible('It is 3 or $1,200.50 and then 7')).toBe('7');
    expect(flexible('It is 12.')).toBe('12.');
    expect(flexible('none')).toBe('[invalid]');
    const strict = chain([{ function: 'regex', regex_pattern: '#### (\\-?[0-9\\.\\,]+)' }]);
    expect(strict('so\n#### -7,000\n#### 8')).toBe('-7,000');
    expect(chain([{ function: 'regex', regex_pattern: '[a-c]+', fallback: 'no' }])('xyz')).toBe('no');
  });

  it('change letters, space and names', () => {
    expect(chain([{ function: 'remove_whitespace' }, { function: 'lowercase' }])('  A ')).toBe('a ');
    expect(chain([{ function: 'map', mapping_dict: { A: 'yes' }, default_value: 'no' }])('B')).toBe('no');
    expect(() => pythonRegExp('(?x) a')).toThrow('flag x');
    expect(pythonRegExp('(?i)(?P<a>x)(?P=a)\\Z').test('aXx')).toBe(true);
  });
});
