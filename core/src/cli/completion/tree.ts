import type { Command, Option } from 'commander';

/** What a shell offers after a flag or as an argument. */
export type ValueKind = { readonly kind: 'file' } | { readonly kind: 'word'; readonly choices: readonly string[] };

export interface CompletionFlag {
  readonly names: readonly string[];
  readonly description: string;
  /** Absent when the flag takes no value. */
  readonly value?: ValueKind;
}

/** A node of the command tree as completion scripts need it. */
export interface CompletionNode {
  /** Words from the program on: `['train', 'sft']`; empty for the program itself. */
  readonly path: readonly string[];
  readonly description: string;
  readonly children: readonly CompletionNode[];
  readonly flags: readonly CompletionFlag[];
  readonly argument?: ValueKind;
}

/** Flags whose value is a path, by the name of the placeholder. */
const filePlaceholder = /<(file|path|folder|dir|directory|config|model|dataset|adapter)(\.\.\.)?>/;

function flagOf(option: Option): CompletionFlag {
  const names = [option.short, option.long].filter((name) => name !== undefined);
  const takesValue = option.required || option.optional;
  const value: ValueKind | undefined = !takesValue
    ? undefined
    : option.argChoices
      ? { kind: 'word', choices: option.argChoices }
      : filePlaceholder.test(option.flags)
        ? { kind: 'file' }
        : { kind: 'word', choices: [] };
  return { names, description: option.description, ...(value && { value }) };
}

/** The tree below a command; global flags stand at every node, since they are read anywhere. */
export function completionTree(program: Command): CompletionNode {
  const globals = program.options.map(flagOf);
  const help: CompletionFlag = { names: ['-h', '--help'], description: 'show the help' };
  const visit = (command: Command, path: readonly string[]): CompletionNode => {
    const argument = command.registeredArguments[0];
    return {
      path,
      description: command.summary() || command.description(),
      children: command.commands.map((child) => visit(child, [...path, child.name()])),
      flags: [...(command === program ? [] : command.options.map(flagOf)), ...globals, help],
      ...(argument && {
        argument: argument.argChoices ? { kind: 'word', choices: argument.argChoices } : { kind: 'file' },
      }),
    };
  };
  return visit(program, []);
}

/** The tree's nodes, each before its children. */
export function allNodes(node: CompletionNode): CompletionNode[] {
  return [node, ...node.children.flatMap(allNodes)];
}
