import { describe, expect, it } from 'vitest';
import { learningRate, type ScheduleOptions, scheduleOptions, warmupSteps } from './schedule.js';

const schedule = (options: Partial<ScheduleOptions>) => scheduleOptions.parse(options);
const rates = (options: Partial<ScheduleOptions>, steps: number) =>
  Array.from({ length: steps }, (_, step) => learningRate(schedule(options), 1, step, steps));

describe('learningRate', () => {
  it('warms up from 0 and reaches the peak after the warm-up', () => {
    expect(rates({ type: 'constant', warmupSteps: 4 }, 8)).toEqual([0, 0.25, 0.5, 0.75, 1, 1, 1, 1]);
  });

  it("equals transformers' get_linear_schedule_with_warmup", () => {
    // LambdaLR values of transformers 5.18, 2 warm-up steps of 6.
    expect(rates({ type: 'linear', warmupSteps: 2 }, 6)).toEqual([0, 0.5, 1, 0.75, 0.5, 0.25]);
  });

  it("equals transformers' get_cosine_schedule_with_warmup", () => {
    const values = rates({ type: 'cosine', warmupSteps: 2 }, 6);
    const expected = [0, 0.5, 1, 0.8535533905932737, 0.5, 0.14644660940672627];
    for (const [step, value] of values.entries()) expect(value).toBeCloseTo(expected[step] as number, 12);
  });

  it("equals transformers' get_cosine_with_hard_restarts_schedule_with_warmup", () => {
    // LambdaLR values of transformers 5.18, 2 warm-up steps of 10, 2 cycles.
    const values = rates({ type: 'cosine-restarts', warmupSteps: 2, cycles: 2 }, 10);
    const fall = [1, 0.8535533905932737, 0.5, 0.14644660940672627];
    for (const [step, value] of [0, 0.5, ...fall, ...fall].entries()) expect(values[step]).toBeCloseTo(value, 12);
  });

  it("equals transformers' get_polynomial_decay_schedule_with_warmup", () => {
    // LambdaLR values of transformers 5.18, 2 warm-up steps of 6, power 2, lr_end 0.1 of a peak of 1.
    const values = rates({ type: 'polynomial', warmupSteps: 2, power: 2, minimumRatio: 0.1 }, 6);
    const expected = [0, 0.5, 1, 0.60625, 0.325, 0.15625];
    for (const [step, value] of values.entries()) expect(value).toBeCloseTo(expected[step] as number, 12);
  });

  it('runs from point to point of a list', () => {
    const points: [number, number][] = [
      [0.25, 1],
      [0.75, 0.2],
    ];
    const values = rates({ type: 'list', warmupSteps: 0, points }, 8);
    for (const [step, value] of [1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2].entries())
      expect(values[step]).toBeCloseTo(value, 12);
  });

  it('holds the peak and then decays with wsd', () => {
    const values = rates({ type: 'wsd', warmupSteps: 2, decayRatio: 0.4, minimumRatio: 0.1 }, 10);
    expect(values.slice(0, 7)).toEqual([0, 0.5, 1, 1, 1, 1, 1]);
    expect(values[8]).toBeCloseTo(0.55, 12);
    expect(values[9]).toBeCloseTo(0.325, 12);
    expect(values.every((value, step) => step < 6 || value <= (values[step - 1] as number))).toBe(true);
  });

  it('ends at the floor, also past the end', () => {
    const options = schedule({ type: 'cosine', minimumRatio: 0.1, warmupRatio: 0 });
    expect(learningRate(options, 2, 100, 100)).toBeCloseTo(0.2, 12);
    expect(learningRate(options, 2, 150, 100)).toBeCloseTo(0.2, 12);
  });

  it('rounds the warm-up ratio up and lets steps override it', () => {
    expect(warmupSteps(schedule({ warmupRatio: 0.03 }), 50)).toBe(2);
    expect(warmupSteps(schedule({ warmupRatio: 0.03, warmupSteps: 7 }), 50)).toBe(7);
    expect(warmupSteps(schedule({ warmupSteps: 70 }), 50)).toBe(50);
  });
});
