import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { Interrupts } from './interrupts.js';

describe('Ctrl-C', () => {
  it('asks to end at the first, stops at the second, and leaves nothing behind', () => {
    const source = new EventEmitter();
    const told: string[] = [];
    const interrupts = new Interrupts(source, (name) => told.push(name));
    expect([interrupts.signal.aborted, interrupts.stop.aborted]).toEqual([false, false]);
    source.emit('SIGINT', 'SIGINT');
    expect([interrupts.signal.aborted, interrupts.stop.aborted]).toEqual([true, false]);
    expect(interrupts.signal.reason).toMatchObject({ name: 'AbortError', message: 'interrupted by SIGINT' });
    source.emit('SIGTERM', 'SIGTERM');
    expect(interrupts.stop.aborted).toBe(true);
    expect(told).toEqual(['SIGINT']);
    interrupts.dispose();
    expect([source.listenerCount('SIGINT'), source.listenerCount('SIGTERM')]).toEqual([0, 0]);
  });
});
