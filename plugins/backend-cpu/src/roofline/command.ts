import type { CommandContext, CommandDefinition } from '@largeforge/core';
import { integerBetween } from '@largeforge/core';
import { openDevice } from '@largeforge/engine';
import { locateLibrary } from '../library.js';
import { KERNELS } from './kernels.js';
import { machineLimits, measureKernel } from './measure.js';

const giga = (value: number) => (value === 0 ? '-' : (value / 1e9).toFixed(0));

/** `largeforge bench roofline`. */
export const rooflineCommand: CommandDefinition<CommandContext> = {
  name: 'bench roofline',
  summary: "measure this machine's limits, and each kernel's share of them",
  description:
    'Measures multiply-adds and memory reads alone, then each kernel alone at shapes of real use. A share is the time that the kernel would take at the limits over the time that it takes. Run it on a quiet machine.',
  options: [
    { flags: '--threads <count>', description: 'threads to use (default: all)', parse: integerBetween(1, 4096) },
    { flags: '--only <text>', description: 'kernels whose name or shape has this text' },
    { flags: '--json', description: 'print a line of JSON instead of a table' },
  ],
  async run({ options }, { signal }) {
    const { threads: asked, only, json } = options as { threads?: number; only?: string; json?: boolean };
    const probe = openDevice({ library: locateLibrary(), threads: asked });
    const { name: cpu, isa, computeUnits } = probe.properties;
    probe[Symbol.dispose]();
    const threads = asked ?? computeUnits;
    const limits = await machineLimits(isa, threads);
    const print = (line: string) => process.stdout.write(`${line}\n`);
    if (!json) {
      print(`${cpu}, ${isa}, ${threads} threads`);
      print(
        `limits: ${giga(limits.f32)} GFLOP/s f32, ${giga(limits.bf16)} bf16, ${giga(limits.int8)} GOP/s int8, ${(limits.read / 1e9).toFixed(1)} GB/s read`,
      );
    }
    const kernels = [];
    for (const work of KERNELS) {
      signal.throwIfAborted();
      if (only !== undefined && !`${work.name} ${work.shape}`.includes(only)) continue;
      const measured = await measureKernel(work, limits, { threads });
      kernels.push(measured);
      if (!json) {
        const { name, shape, seconds, bound, share } = measured;
        const time = seconds >= 1e-3 ? `${(seconds * 1e3).toFixed(2)} ms` : `${(seconds * 1e6).toFixed(1)} us`;
        print(
          `${name.padEnd(34)} ${shape.padEnd(40)} ${time.padStart(10)}  ${`${(share * 100).toFixed(0)} %`.padStart(5)} of ${bound}`,
        );
      }
    }
    if (json) print(JSON.stringify({ cpu, isa, threads, limits, kernels }));
  },
};
