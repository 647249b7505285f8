import type { Command } from 'commander';
import type { CommandContext } from '../../application/command-context.js';
import type { CommandDefinition } from '../command.js';
import { bashCompletion } from '../completion/bash.js';
import { fishCompletion } from '../completion/fish.js';
import { completionTree } from '../completion/tree.js';
import { zshCompletion } from '../completion/zsh.js';

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

/** `largeforge completion <shell>`: a script made from the command tree that the config gives. */
export function completionCommand(program: () => Command): CommandDefinition<CommandContext> {
  return {
    name: 'completion',
    summary: 'print a completion script for a shell',
    examples: ['largeforge completion bash > ~/.local/share/bash-completion/completions/largeforge'],
    arguments: [{ name: '<shell>', description: 'bash, zsh or fish', choices: Object.keys(SHELLS) }],
    async run({ positionals }) {
      process.stdout.write(SHELLS[positionals[0] as keyof typeof SHELLS](completionTree(program())));
    },
  };
}
