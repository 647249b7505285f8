import { describe, expect, expectTypeOf, it } from 'vitest';
import { defineErrors, isLargeForgeError, LargeForgeError, placeError, reasonOf } from './errors.js';

const errors = defineErrors({
  LF_OVEN_COLD: {
    message: ({ degrees }: { degrees: number }) => `the oven has ${degrees} degrees`,
    remedy: ({ degrees }) => `Heat it by ${200 - degrees} degrees.`,
    exitCode: 4,
  },
  LF_OVEN_GONE: { message: () => 'there is no oven', remedy: () => 'Buy one.' },
});

describe('an error table', () => {
  it('makes errors with code, message, remedy, exit code, details and cause', () => {
    const cause = new Error('door open');
    expect(errors.LF_OVEN_COLD({ degrees: 80 }, { cause })).toMatchObject({
      code: 'LF_OVEN_COLD',
      message: 'the oven has 80 degrees',
      remedy: 'Heat it by 120 degrees.',
      exitCode: 4,
      details: { degrees: 80 },
      cause,
    });
    expect(errors.LF_OVEN_GONE()).toMatchObject({ exitCode: 1, details: {} });
  });

  it('types its arguments', () => {
    expectTypeOf(errors.LF_OVEN_COLD).parameter(0).toEqualTypeOf<{ degrees: number }>();
    expect(() => defineErrors({ OVEN: { message: () => '', remedy: () => '' } })).toThrow(
      'OVEN does not start with LF_',
    );
  });

  it('is told by its shape, not by its class', () => {
    const foreign = Object.assign(new Error('x'), { code: 'LF_OTHER', remedy: 'y', exitCode: 1 });
    expect(isLargeForgeError(foreign)).toBe(true);
    expect(isLargeForgeError(errors.LF_OVEN_GONE())).toBe(true);
    for (const other of [undefined, null, 'text', new Error('x'), Object.assign(new Error('x'), { code: 'ENOENT' })]) {
      expect(isLargeForgeError(other)).toBe(false);
    }
  });

  it('keeps its code when a place is added', () => {
    const placed = placeError(errors.LF_OVEN_COLD({ degrees: 80 }), 'kitchen');
    expect(placed).toBeInstanceOf(LargeForgeError);
    expect(placed).toMatchObject({ code: 'LF_OVEN_COLD', message: 'kitchen: the oven has 80 degrees', exitCode: 4 });
    expect(reasonOf(placed.cause)).toBe('the oven has 80 degrees');
    expect(reasonOf('text')).toBe('text');
  });
});
