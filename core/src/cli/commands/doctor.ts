import type { CommandContext } from '../../application/command-context.js';
import type { CommandDefinition } from '../command.js';
import { runProgram } from '../doctor/programs.js';
import { type DoctorReport, makeReport } from '../doctor/report.js';
import { bytes } from '../render/figures.js';

/** `largeforge doctor`: what this machine has, what would be chosen, and what is missing. */
export function doctorCommand(version: string): CommandDefinition<CommandContext> {
  return {
    name: 'doctor',
    summary: 'show what this machine has and what would be used',
    description:
      'Shows the system, processor, memory, disk, compilers and GPUs, which backends can be used and which would be chosen, and what plugins tell of their subjects. The exit code is 1 when no backend works here.',
    examples: ['largeforge doctor', 'largeforge doctor --json'],
    options: [{ flags: '--json', description: 'print the report as JSON' }],
    async run({ options }, { application, cwd }) {
      const backends = application.kernel.registry('backend');
      const diagnoses = application.kernel.registry('diagnosis');
      const sources = { version, cwd, environment: process.env, backends, diagnoses, run: runProgram };
      const report = await makeReport(sources);
      const text = options.json === true ? JSON.stringify(report, null, 2) : reportLines(report).join('\n');
      process.stdout.write(`${application.redact(text)}\n`);
      return report.chosen ? 0 : 1;
    },
  };
}

/** The report as people read it. */
export function reportLines(report: DoctorReport): string[] {
  const { system, cpu, memory, disk, compilers, gpus, diagnoses, variables, backends, chosen, problems } = report;
  const line = (name: string, text: string) => `${name.padEnd(12)}${text}`;
  return [
    line('LargeForge', report.largeforge),
    line('system', `${system.platform} ${system.release}, Node ${system.node}`),
    line('processor', `${cpu.model}, ${cpu.architecture}, ${cpu.threads} threads${quota(cpu.quota)}`),
    line('', cpu.features.length > 0 ? cpu.features.join(' ') : 'instruction sets: the system does not say'),
    line('memory', `${bytes(memory.totalBytes)}, ${bytes(memory.freeBytes)} free${limit(memory.limitBytes)}`),
    line('disk', `${bytes(disk.freeBytes)} free at ${disk.path}`),
    ...compilers.map((tool, i) => line(i === 0 ? 'compilers' : '', `${tool.command}: ${tool.version ?? tool.reason}`)),
    ...gpus.gpus.map((gpu) => line('GPU', `${gpu.name}${gpu.memoryBytes ? `, ${bytes(gpu.memoryBytes)}` : ''}`)),
    ...gpus.notes.map((note) => line('GPU', note)),
    ...diagnoses.flatMap(({ label, lines }) => lines.map((text, i) => line(i === 0 ? label : '', text))),
    ...Object.entries(variables).map(([name, value]) => line('variable', `${name}=${value}`)),
    ...backends.map((entry) => line('backend', `${entry.id} (${entry.plugin}): ${entry.reason ?? 'works here'}`)),
    line('chosen', chosen ? `${chosen.id}: ${chosen.why}` : 'no backend'),
    ...problems.flatMap(({ what, remedy }) => [`problem: ${what}`, `  what to do: ${remedy}`]),
  ];
}

const quota = (threads: number | undefined) =>
  threads === undefined ? '' : `, of which the container may use ${threads}`;
const limit = (count: number | undefined) => (count === undefined ? '' : `; the container may use ${bytes(count)}`);
