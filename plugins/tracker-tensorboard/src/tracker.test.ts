import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { EventFile } from './event-file.js';
import { tensorboardTracker } from './tracker.js';

const fixture = fileURLToPath(new URL('../../../test/fixtures/tensorboard_events.json', import.meta.url));
const temporary = () => mkdtempSync(join(tmpdir(), 'largeforge-tensorboard-'));

/** Made by test/fixtures/make_tensorboard_events.py. */
it("events are those of TensorBoard's own writer, byte for byte", () => {
  const folder = temporary();
  const time = (seconds: number) => new Date((1_700_000_000.125 + seconds) * 1000);
  const file = new EventFile(join(folder, 'events'), time(0));
  file.text('config', 'hello', time(0));
  const first = [
    { tag: 'train/loss', value: 0.1 },
    { tag: 'é', value: -2.5 },
  ];
  file.scalars(300, first, time(1));
  file.scalars(301, [{ tag: 'train/loss', value: Number.NaN }], time(2));
  file.close();
  const { hex } = JSON.parse(readFileSync(fixture, 'utf8')) as { hex: string };
  expect(readFileSync(join(folder, 'events')).toString('hex')).toBe(hex);
  rmSync(folder, { recursive: true });
});

it('a run has a folder of its own, named so that TensorBoard finds the file', async () => {
  const folder = temporary();
  const startedAt = new Date('2026-01-02T03:04:05Z');
  const run = { id: 'one', name: 'tune', use: 'sft', config: {}, startedAt, resumed: false };
  const recorder = await tensorboardTracker(folder).open(run);
  await recorder.finish({ status: 'finished', endedAt: startedAt, outputs: {} });
  expect(readdirSync(join(folder, 'one'))[0]).toMatch(/^events\.out\.tfevents\.1767323045\./);
  rmSync(folder, { recursive: true });
});
