import { allNodes, type CompletionFlag, type CompletionNode, type ValueKind } from './tree.js';

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
/** Inside an _arguments specification brackets and colons end a part. */
const escapeSpec = (text: string) => text.replaceAll(/[\\[\]:]/g, '\\$&');
const functionName = (node: CompletionNode) => ['_largeforge', ...node.path].join('_').replaceAll('-', '_');

function valueSpec(label: string, value: ValueKind): string {
  if (value.kind === 'file') return `:${label}:_files`;
  return value.choices.length > 0 ? `:${label}:(${value.choices.join(' ')})` : `:${label}:`;
}

function flagSpecs(flag: CompletionFlag): string[] {
  const value = flag.value ? valueSpec('value', flag.value) : '';
  return flag.names.map((name) => quote(`${name}[${escapeSpec(flag.description)}]${value}`));
}

function nodeFunction(node: CompletionNode): string {
  const flags = node.flags.flatMap(flagSpecs);
  if (node.children.length === 0) {
    const rest = node.argument ? [quote(`*${valueSpec('argument', node.argument)}`)] : [];
    return `${functionName(node)}() {\n  _arguments -S ${[...flags, ...rest].join(' \\\n    ')}\n}`;
  }
  const commands = node.children.map((child) =>
    quote(`${child.path.at(-1)}:${child.description.replaceAll(':', '\\:')}`),
  );
  const cases = node.children.map((child) => `      ${quote(child.path.at(-1)!)}) ${functionName(child)} ;;`);
  return `${functionName(node)}() {
  local line state
  _arguments -C -S ${flags.join(' \\\n    ')} \\
    '1: :->command' '*:: :->rest'
  case "$state" in
    command)
      local -a commands=(${commands.join(' ')})
      _describe command commands ;;
    rest)
      case "$line[1]" in
${cases.join('\n')}
      esac ;;
  esac
}`;
}

/** A completion script for zsh. */
export function zshCompletion(root: CompletionNode): string {
  return `#compdef largeforge
# zsh completion for largeforge. Put it on your $fpath as _largeforge:
#   largeforge completion zsh > "\${fpath[1]}/_largeforge"
# or add to ~/.zshrc, after compinit:  eval "$(largeforge completion zsh)"
${allNodes(root).map(nodeFunction).join('\n')}
if [ "$funcstack[1]" = "_largeforge" ]; then
  _largeforge "$@"
else
  compdef _largeforge largeforge
fi
`;
}
