import { describe, expect, it } from 'vitest';
import { same } from './exact-match.js';
import { wilsonInterval } from './interval.js';

describe('exact match', () => {
  it('compares JSON by value, and nothing that is no JSON is right', () => {
    expect(same('{"b": 1, "a": [2]}', '{"a":[2],"b":1}', 'json')).toBe(true);
    expect(same('{"a":1,"b":2}', '{"a":1}', 'json')).toBe(false);
    expect(same('{"a":1', '{"a":1}', 'json')).toBe(false);
    expect(same('yes', 'yes\n', 'text')).toBe(true);
    expect(same('Yes', 'yes', 'text')).toBe(false);
  });

  it('gives the interval of a share as in Wilson 1927', () => {
    // statsmodels: proportion_confint(8, 10, method='wilson')
    const [low, high] = wilsonInterval(8, 10);
    expect(low).toBeCloseTo(0.4901625, 6);
    expect(high).toBeCloseTo(0.9433178, 6);
    expect(wilsonInterval(0, 20)[0]).toBe(0);
  });
});
