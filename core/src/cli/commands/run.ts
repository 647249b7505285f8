import type { CommandContext } from '../../application/command-context.js';
import type { CommandDefinition } from '../command.js';

/** `largeforge run`: the config's pipeline. */
export function runCommand(stop: AbortSignal): CommandDefinition<CommandContext> {
  return {
    name: 'run',
    summary: "run the config's pipeline",
    description:
      'Runs the pipeline of the config. Steps whose options and inputs did not change since they finished are skipped.',
    examples: ['largeforge run -c largeforge.config.yaml', 'largeforge run --from tune --set log.level=debug'],
    options: [
      { flags: '--force', description: 'run every step, finished or not' },
      { flags: '--from <step>', description: 'run this step and the later ones again' },
      { flags: '--dry-run', description: 'check everything that can be checked, and run nothing' },
    ],
    async run({ options }, { application, config, events }) {
      application.watchConfig();
      const { force = false, from, dryRun = false } = options as { force?: boolean; from?: string; dryRun?: boolean };
      await application.runPipeline({ force, from, dryRun, stop });
      if (!dryRun) return;
      const steps = config.root.pipeline.map(({ name, stage, use }) => `${name} (${stage}: ${use})`);
      events.emit({ type: 'message', level: 'info', text: `nothing is wrong so far; would run: ${steps.join(', ')}` });
    },
  };
}
