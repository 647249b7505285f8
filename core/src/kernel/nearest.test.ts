import { describe, expect, it } from 'vitest';
import { didYouMean, nearest } from './nearest.js';

describe('a near miss', () => {
  it.each([
    ['trianer-sft', ['trainer-sft', 'trainer-dpo'], 'trainer-sft'],
    ['learningrate', ['learningRate', 'epochs'], 'learningRate'],
    ['sft', ['@largeforge/trainer-sft', '@largeforge/data'], '@largeforge/trainer-sft'],
    ['pport', ['port', 'host'], 'port'],
    ['xyz', ['port', 'host'], undefined],
    ['epochs', [], undefined],
  ])('of %s among %j is %s', (word, known, found) => {
    expect(nearest(word, known)).toBe(found);
  });

  it('is asked for as a question', () => {
    expect(didYouMean('prot', ['port'])).toBe(' Did you mean "port"?');
    expect(didYouMean('xyz', ['port'])).toBe('');
  });
});
