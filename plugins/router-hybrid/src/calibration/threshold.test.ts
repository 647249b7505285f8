import { describe, expect, test } from 'vitest';
import { calibrationError } from './temperature.js';
import { chooseThreshold, figuresAt, type ScoredRow } from './threshold.js';

const inside = (confidence: number, correct = true): ScoredRow => ({ confidence, correct, outOfScope: false });
const outside = (confidence: number): ScoredRow => ({ confidence, correct: false, outOfScope: true });

describe('the threshold', () => {
  const rows = [
    inside(0.9),
    inside(0.8),
    inside(0.5),
    inside(0.7, false),
    outside(0.1),
    outside(0.3),
    outside(0.6),
    outside(0.85),
  ];
  test.each([
    [0.5, 0.5, 3 / 4],
    [0.75, 0.75, 2 / 4],
    [1, 1, 1 / 4],
    [0, 0, 3 / 4],
  ])('turns away %d of the rows of no expert, and no more than it must', (wanted, recall, accuracy) => {
    const chosen = chooseThreshold(rows, wanted);
    expect(chosen.outOfScopeRecall).toBe(recall);
    expect(chosen.inScopeAccuracy).toBe(accuracy);
  });
  test('without such rows keeps 99 of 100 right decisions', () => {
    const many = Array.from({ length: 200 }, (_, i) => inside((i + 1) / 200));
    expect(chooseThreshold(many).inScopeAccuracy).toBe(0.99);
    expect(chooseThreshold(many).outOfScopeRecall).toBeNaN();
  });
  test('of nothing is zero', () => expect(chooseThreshold([]).threshold).toBe(0));
  test('between equal confidences is above both', () => {
    expect(chooseThreshold([outside(0.4), outside(0.4), inside(0.4)], 1).outOfScopeRecall).toBe(1);
  });
});

test('rows of an expert that are turned away are errors', () => {
  expect(figuresAt([inside(0.4), inside(0.6)], 0.5).inScopeAccuracy).toBe(0.5);
});

test('calibration error is the gap between confidence and accuracy', () => {
  const rows = [true, true, true, false].map((correct) => ({ confidence: 0.95, correct }));
  expect(calibrationError(rows)).toBeCloseTo(0.2);
});
