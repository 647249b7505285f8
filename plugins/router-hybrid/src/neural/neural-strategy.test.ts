import { describe, expect, test } from 'vitest';
import { fitTemperature } from '../calibration/temperature.js';
import { LinearClassifier, seededRandom, softmax } from './linear-classifier.js';
import { type LabelledText, NeuralStrategy } from './neural-strategy.js';

const verbs = ['play', 'start', 'hear', 'put on'];
const music = ['jazz', 'a song', 'my playlist', 'the radio', 'some music', 'rock'];
const asks = ['will there be', 'is there', 'expect', 'forecast of'];
const weather = ['rain', 'snow', 'sun', 'a storm', 'wind', 'frost'];
const pairs = (a: string[], b: string[], label: string | null) =>
  a.flatMap((x) => b.map((y): LabelledText => ({ text: `${x} ${y}`, label })));
const rows = [...pairs(verbs, music, 'music'), ...pairs(asks, weather, 'weather')];
const none = pairs(['who was', 'when did', 'define'], ['the president', 'gravity', 'the war', 'a prime'], null);

function answer(strategy: NeuralStrategy, row: { text: string; embedding?: Float32Array }): string {
  const p = strategy.probabilities(row);
  return strategy.labels[p.indexOf(Math.max(...p))]!;
}

describe('a classifier of n-grams', () => {
  const strategy = NeuralStrategy.train(rows, rows);
  test('knows words that it has not seen in this order', () => {
    expect(answer(strategy, { text: 'could you play rock for me' })).toBe('music');
    expect(answer(strategy, { text: 'snow tomorrow?' })).toBe('weather');
  });
  test('recognises a misspelt word by its parts', () => {
    expect(answer(strategy, { text: 'my plalist' })).toBe('music');
  });
  test('one seed gives one result', () => {
    const again = NeuralStrategy.train(rows, rows);
    expect(again.classifier.weights.sparse).toEqual(strategy.classifier.weights.sparse);
  });
  test('without texts of no class has none to give', () => {
    expect(strategy.knowsNone).toBe(false);
    expect(strategy.probabilities({ text: 'anything' }).reduce((a, b) => a + b)).toBeCloseTo(1);
  });
});

test('texts of no class take confidence from the others', () => {
  const strategy = NeuralStrategy.train([...rows, ...none], [...rows, ...none]);
  const sum = (text: string) => strategy.probabilities({ text }).reduce((a, b) => a + b);
  expect(strategy.knowsNone).toBe(true);
  expect(sum('who was the president')).toBeLessThan(0.3);
  expect(sum('play jazz')).toBeGreaterThan(0.8);
});

test('a sentence embedding decides where words are new', () => {
  const axis = (row: LabelledText) => ({
    ...row,
    embedding: Float32Array.of(...(row.label === 'music' ? [1, 0] : [0, 1])),
  });
  const strategy = NeuralStrategy.train(rows.map(axis), rows.map(axis));
  expect(answer(strategy, { text: 'zzz', embedding: Float32Array.of(1, 0) })).toBe('music');
  expect(answer(strategy, { text: 'zzz', embedding: Float32Array.of(0, 1) })).toBe('weather');
});

test('the step against the gradient lowers the loss in every epoch', () => {
  const losses: number[] = [];
  NeuralStrategy.train(rows, rows, {
    epochs: 4,
    learningRate: 0.1,
    denseScale: 4,
    seed: 3,
    onEpoch: (_, l) => losses.push(l),
  });
  expect(losses).toEqual([...losses].sort((a, b) => b - a));
});

test('training stops when it is asked to', () => {
  const signal = AbortSignal.abort(new Error('stop'));
  const settings = { epochs: 1, learningRate: 0.1, denseScale: 1, seed: 1, signal };
  expect(() => LinearClassifier.train([], { classes: 2, dense: 0, rows: 0 }, settings)).toThrow('stop');
});

describe('temperature scaling', () => {
  test('finds the temperature that logits were multiplied by', () => {
    const random = seededRandom(5);
    const logits: Float32Array[] = [];
    const labels: number[] = [];
    for (let i = 0; i < 4000; i++) {
      const row = Float32Array.from({ length: 3 }, () => 4 * random() - 2);
      const [a, b] = softmax(row.slice());
      const drawn = random();
      labels.push(drawn < a! ? 0 : drawn < a! + b! ? 1 : 2);
      logits.push(row.map((value) => value * 3));
    }
    expect(fitTemperature(logits, labels)).toBeGreaterThan(2.7);
    expect(fitTemperature(logits, labels)).toBeLessThan(3.3);
  });
  test('leaves logits alone where there is nothing to fit', () => expect(fitTemperature([], [])).toBe(1));
  test('keeps the order of probabilities', () => {
    const cold = softmax(Float32Array.of(1, 2, 3), 0.5);
    const warm = softmax(Float32Array.of(1, 2, 3), 2);
    expect(cold[2]).toBeGreaterThan(warm[2]!);
    expect([...warm].sort()).toEqual([...warm]);
  });
});
