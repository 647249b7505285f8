/** What plugins need to add commands; the command line itself is loaded by the program alone. */
export { collect, integerBetween, numberBetween } from './arguments.js';
export type { CommandArgument, CommandArguments, CommandDefinition, CommandOption } from './command.js';
