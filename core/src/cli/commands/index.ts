import type { Command } from 'commander';
import type { CommandContext } from '../../application/command-context.js';
import type { CommandDefinition } from '../command.js';
import { completionCommand } from './completion.js';
import { doctorCommand } from './doctor.js';
import { inspectCommands, schemaCommand } from './inspect.js';
import { runCommand } from './run.js';

/** The commands that the kernel itself brings. */
export function kernelCommands(
  program: () => Command,
  stop: AbortSignal,
  version: string,
): CommandDefinition<CommandContext>[] {
  const own = [runCommand(stop), doctorCommand(version), ...inspectCommands, schemaCommand];
  return [...own, completionCommand(program)];
}
