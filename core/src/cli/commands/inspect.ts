import type { CommandContext } from '../../application/command-context.js';
import type { CommandDefinition } from '../command.js';
import { table } from '../render/events.js';

type Definition = CommandDefinition<CommandContext>;

type Rows = readonly (readonly (string | number)[])[];

const print = ({ application }: CommandContext, columns: readonly string[], rows: Rows) =>
  process.stdout.write(`${application.redact(table(columns, rows).join('\n'))}\n`);

/** `largeforge inspect ...`: what is there, and why it is as it is. */
export const inspectCommands: readonly Definition[] = [
  {
    name: 'inspect config',
    summary: 'show every config value with its source',
    async run(_args, context) {
      const { application } = context;
      const entries = await application.describeConfig();
      print(
        context,
        ['path', 'value', 'source'],
        entries.map((entry) => [entry.path, String(entry.value), entry.source]),
      );
    },
  },
  {
    name: 'inspect plugins',
    summary: 'show the loaded plugins',
    async run(_args, context) {
      const { application } = context;
      const rows = application.kernel.plugins.map(({ plugin, where }) => [
        plugin.name,
        plugin.version,
        where || 'built in',
      ]);
      print(context, ['plugin', 'version', 'listed at'], rows);
    },
  },
  {
    name: 'inspect commands',
    summary: 'show the commands and who adds them',
    async run(_args, context) {
      print(
        context,
        ['command', 'plugin', 'summary'],
        context.application.ownedCommands.map(({ plugin, command }) => [command.name, plugin, command.summary]),
      );
    },
  },
  {
    name: 'inspect hooks',
    summary: 'show the hooks that plugins tap, in the order in which the taps run',
    options: [{ flags: '--all', description: 'show the hooks that nobody taps, too' }],
    async run({ options }, context) {
      const rows = context.application.kernel.describeHooks().flatMap(({ name, kind, summary, taps }) => {
        if (taps.length === 0) return options.all === true ? [[name, kind, '', '(nobody)', summary]] : [];
        return taps.map(({ plugin, why }, i) => [i === 0 ? name : '', i === 0 ? kind : '', i + 1, plugin, why]);
      });
      print(context, ['hook', 'kind', 'order', 'plugin', 'why here'], rows);
    },
  },
  {
    name: 'inspect services',
    summary: 'show the services and which plugin provides them',
    async run(_args, context) {
      const services = context.application.kernel.services.describe();
      print(
        context,
        ['service', 'plugin'],
        services.map(({ key, plugin }) => [key, plugin]),
      );
    },
  },
  {
    name: 'inspect registries',
    summary: 'show what can be chosen by name and which plugin provides it',
    async run(_args, context) {
      const rows = context.application.kernel
        .describeRegistries()
        .flatMap(({ name, entries }) =>
          entries.map(({ id, plugin, priority, describe = '' }) => [name, id, plugin, priority, describe]),
        );
      print(context, ['registry', 'name', 'plugin', 'priority', 'what it is'], rows);
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
