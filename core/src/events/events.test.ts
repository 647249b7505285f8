import { describe, expect, expectTypeOf, it } from 'vitest';
import { EventBus, type RunEvent } from './events.js';

describe('the stream of events', () => {
  it('reaches all listeners in order, or those of one type, until they end their subscription', () => {
    const bus = new EventBus();
    const seen: string[] = [];
    const end = bus.on((event) => void seen.push(`all ${event.type}`));
    bus.on('step.skipped', (event, time) => {
      expectTypeOf(event.reason).toEqualTypeOf<string>();
      expect(time).toBeInstanceOf(Date);
      seen.push(`skipped ${event.step}`);
    });
    bus.emit({ type: 'step.skipped', step: 'a', reason: 'x' });
    end();
    bus.emit({ type: 'message', level: 'info', text: 'x' });
    bus.emit({ type: 'step.skipped', step: 'b', reason: 'x' });
    expect(seen).toEqual(['all step.skipped', 'skipped a', 'skipped b']);
  });

  it('is not disturbed by a listener that throws, or that ends itself', () => {
    const errors: [unknown, RunEvent][] = [];
    const bus = new EventBus((error, event) => errors.push([error, event]));
    const seen: string[] = [];
    bus.on(() => {
      throw new Error('broken');
    });
    const end = bus.on(() => end());
    bus.on((event) => void seen.push(event.type));
    const event = { type: 'message', level: 'info', text: 'x' } as const;
    bus.emit(event);
    bus.emit(event);
    expect(seen).toEqual(['message', 'message']);
    expect(errors).toEqual([
      [new Error('broken'), event],
      [new Error('broken'), event],
    ]);
  });
});
