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
      { flags: '--dry-run', description: 'check everything and run nothing' },
    ],
    async run({ options }, { application }) {
      application.watchConfig();
      const { force = false, from, dryRun = false } = options as { force?: boolean; from?: string; dryRun?: boolean };
      await application.runPipeline({ force, from, dryRun, stop });
    },
  };
}
