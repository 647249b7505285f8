import type { EventQueue } from './event-queue.js';

/**
 * Readers that are woken in one turn of the event loop: each of them may render, serialise and write to a socket, some tens
 * of microseconds, and whoever else waits for the event loop shall wait for no more than a few of them.
 */
const READERS_A_TURN = 12;

/**
 * Hands the events of a step to their readers while the next step runs, some readers a turn of the event loop: a step of a
 * thousand streams would block it otherwise.
 */
export class Outbox {
  private queues: EventQueue<unknown>[] = [];
  private next = 0;
  private turning = false;
  private waiting: (() => void)[] = [];

  /** There is something to read in a queue; its reader is told by `deliver`. */
  add(queue: EventQueue<unknown>): void {
    this.queues.push(queue);
  }

  /** Begins to wake the readers. */
  deliver(): void {
    if (this.turning || this.queues.length === 0) return;
    this.turning = true;
    this.turn();
  }

  /** Resolves when every reader was woken. */
  async delivered(): Promise<void> {
    if (this.turning) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private turn(): void {
    const end = Math.min(this.next + READERS_A_TURN, this.queues.length);
    while (this.next < end) this.queues[this.next++]!.wake();
    if (this.next < this.queues.length) {
      setImmediate(() => this.turn());
      return;
    }
    this.queues = [];
    this.next = 0;
    this.turning = false;
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
