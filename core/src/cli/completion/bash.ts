import { allNodes, type CompletionNode } from './tree.js';

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const pathOf = (node: CompletionNode) => node.path.map((word) => `/${word}`).join('');

/** A completion script for bash 3.2 and newer. */
export function bashCompletion(root: CompletionNode): string {
  const nodes = allNodes(root);
  const known = nodes.slice(1).map((node) => quote(pathOf(node)));
  const values = nodes.flatMap((node) =>
    node.flags
      .filter((flag) => flag.value)
      .map(({ names, value }) => {
        const patterns = names.map((name) => quote(`${pathOf(node)}:${name}`)).join('|');
        const reply =
          value!.kind === 'file'
            ? 'COMPREPLY=($(compgen -f -- "$current"))'
            : `COMPREPLY=($(compgen -W ${quote(value!.choices.join(' '))} -- "$current"))`;
        return `    ${patterns}) ${reply}; return ;;`;
      }),
  );
  const words = nodes.map((node) => {
    const flags = node.flags.flatMap((flag) => flag.names.filter((name) => name.startsWith('--')));
    const choices = node.argument?.kind === 'word' ? node.argument.choices : [];
    const rest = [...node.children.map((child) => child.path.at(-1)!), ...choices];
    const files = node.argument?.kind === 'file' ? '; files=1' : '';
    return `    ${quote(pathOf(node))}) flags=${quote(flags.join(' '))}; words=${quote(rest.join(' '))}${files} ;;`;
  });
  return `# bash completion for largeforge. Add to ~/.bashrc:  eval "$(largeforge completion bash)"
_largeforge() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local path="" flags="" words="" files="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path/\${COMP_WORDS[i]}" in
      ${known.join('|')}) path="$path/\${COMP_WORDS[i]}" ;;
    esac
  done
  case "$path:$previous" in
${values.join('\n')}
  esac
  case "$path" in
${words.join('\n')}
  esac
  if [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
  elif [[ -n "$files" ]]; then
    COMPREPLY=($(compgen -f -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -o filenames -o bashdefault -F _largeforge largeforge
`;
}
