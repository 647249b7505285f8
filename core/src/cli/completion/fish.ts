import { allNodes, type CompletionFlag, type CompletionNode } from './tree.js';

const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

function flagLine(node: CompletionNode, flag: CompletionFlag): string {
  const parts = [`complete -c largeforge -n ${quote(`__largeforge_at ${node.path.join(' ')}`.trim())}`];
  for (const name of flag.names) parts.push(name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`);
  if (flag.value?.kind === 'file') parts.push('-r -F');
  else if (flag.value)
    parts.push(flag.value.choices.length > 0 ? `-x -a ${quote(flag.value.choices.join(' '))}` : '-x');
  parts.push(`-d ${quote(flag.description)}`);
  return parts.join(' ');
}

/** A completion script for fish 3 and newer. */
export function fishCompletion(root: CompletionNode): string {
  const nodes = allNodes(root);
  const paths = nodes.slice(1).map((node) => quote(node.path.join(' ')));
  const lines = nodes.flatMap((node) => {
    const condition = quote(`__largeforge_at ${node.path.join(' ')}`.trim());
    const children = node.children.map(
      (child) =>
        `complete -c largeforge -n ${condition} -f -a ${quote(child.path.at(-1)!)} -d ${quote(child.description)}`,
    );
    const choices =
      node.argument?.kind === 'word'
        ? [`complete -c largeforge -n ${condition} -f -a ${quote(node.argument.choices.join(' '))}`]
        : node.argument
          ? [`complete -c largeforge -n ${condition} -F`]
          : [];
    return [...children, ...choices, ...node.flags.map((flag) => flagLine(node, flag))];
  });
  return `# fish completion for largeforge. Save as ~/.config/fish/completions/largeforge.fish:
#   largeforge completion fish > ~/.config/fish/completions/largeforge.fish
function __largeforge_path
  set -l path
  for word in (commandline -opc)[2..-1]
    if contains -- (string join -- ' ' $path $word) ${paths.join(' ')}
      set path $path $word
    end
  end
  echo "$path"
end
function __largeforge_at
  test (__largeforge_path) = "$argv"
end
complete -c largeforge -f
${lines.join('\n')}
`;
}
