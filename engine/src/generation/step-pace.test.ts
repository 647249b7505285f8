import { expect, it } from 'vitest';
import { StepPace } from './step-pace.js';

it('learns how many tokens of prompts fit in the time that streams may wait', () => {
  const pace = new StepPace(100);
  expect(pace.promptTokens).toBe(Number.POSITIVE_INFINITY);
  pace.note(200, 100);
  expect(pace.promptTokens).toBe(200);
  // A step of a few tokens reads all the weights: that is no measure of prompts.
  pace.note(3, 60);
  expect(pace.promptTokens).toBe(200);
  for (let i = 0; i < 40; i++) pace.note(200, 400);
  expect(pace.promptTokens).toBeGreaterThan(45);
  expect(pace.promptTokens).toBeLessThan(55);
  for (let i = 0; i < 40; i++) pace.note(100, 5000);
  expect(pace.promptTokens, 'a prompt must come to an end').toBe(32);
});
