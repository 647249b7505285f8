/**
 * Loaded into the server's process (node --import): tells its parent, when asked over IPC, how late its event loop was since
 * the last question, and what the process holds.
 */
import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION = 1;
const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
delay.enable();

process.on('message', (question) => {
  if (question !== 'figures') return;
  // The histogram has the whole time between two ticks of its timer.
  const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION);
  const figures = {
    delayP50: late(delay.percentile(50)),
    delayP99: late(delay.percentile(99)),
    delayMax: late(delay.max),
  };
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  process.send({ ...figures, rss, heapUsed, external, descriptors: readdirSync('/proc/self/fd').length });
  delay.reset();
});
// The channel alone must not keep the server alive.
process.channel?.unref();
