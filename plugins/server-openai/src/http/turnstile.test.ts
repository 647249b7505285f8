import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Turnstile } from './turnstile.js';

test('so many pass in a turn of the event loop, and the others follow in their order', async () => {
  const gate = new Turnstile(3);
  const begun: number[] = [];
  const begin = async (request: number) => {
    await gate.pass();
    begun.push(request);
  };
  const all = Promise.all(Array.from({ length: 8 }, (_, request) => begin(request)));
  await Promise.resolve();
  expect(begun).toEqual([0, 1, 2]);
  await turn();
  expect(begun).toEqual([0, 1, 2, 3, 4, 5]);
  // Who comes later stands behind those who wait.
  const late = begin(8);
  await Promise.all([all, late]);
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test('who comes alone passes at once, in each turn', async () => {
  const gate = new Turnstile(1);
  expect(gate.pass()).toBeUndefined();
  expect(gate.pass()).toBeInstanceOf(Promise);
  await turn();
  await turn();
  await turn();
  expect(gate.pass()).toBeUndefined();
});
