import type { CommandContext } from '../../application/command-context.js';
import type { CommandDefinition } from '../command.js';
import { table } from '../render/events.js';

type Definition = CommandDefinition<CommandContext>;

const print = (columns: readonly string[], rows: readonly (readonly (string | number)[])[]) =>
  process.stdout.write(`${table(columns, rows).join('\n')}\n`);

/** `largeforge inspect ...`: what is there, and why it is as it is. */
export const inspectCommands: readonly Definition[] = [
  {
    name: 'inspect config',
    summary: 'show every config value with its source',
    async run(_args, { application }) {
      const entries = await application.describeConfig();
      print(
        ['path', 'value', 'source'],
        entries.map((entry) => [entry.path, String(entry.value), entry.source]),
      );
    },
  },
  {
    name: 'inspect plugins',
    summary: 'show the loaded plugins',
    async run(_args, { application }) {
      const rows = application.kernel.plugins.map(({ plugin, where }) => [
        plugin.name,
        plugin.version,
        where || 'built in',
      ]);
      print(['plugin', 'version', 'listed at'], rows);
    },
  },
  {
    name: 'inspect commands',
    summary: 'show the commands and who adds them',
    async run(_args, { application }) {
      print(
        ['command', 'plugin', 'summary'],
        application.ownedCommands.map(({ plugin, command }) => [command.name, plugin, command.summary]),
      );
    },
  },
];

/** `largeforge schema`: the JSON Schema of the config, for editors. */
export const schemaCommand: Definition = {
  name: 'schema',
  summary: 'print the JSON Schema of the config',
  async run(_args, { application }) {
    process.stdout.write(`${JSON.stringify(await application.jsonSchema(), null, 2)}\n`);
  },
};
