import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { buildProgram } from '../program.js';
import { bashCompletion } from './bash.js';
import { fishCompletion } from './fish.js';
import { completionTree } from './tree.js';
import { zshCompletion } from './zsh.js';

const run = async () => {};
const program = buildProgram(
  [
    {
      name: 'train sft',
      summary: "Fine-tune it's model",
      options: [
        { flags: '-m, --model <path>', description: 'base: [any] model' },
        { flags: '--dtype <type>', description: 'precision', choices: ['f32', 'bf16'] },
      ],
      run,
    },
    { name: 'train dpo', summary: 'Align', run },
    {
      name: 'inspect',
      summary: 'Show',
      arguments: [{ name: '[what]', description: 'x', choices: ['config', 'hooks'] }],
      run,
    },
    { name: 'run', summary: 'Run', arguments: [{ name: '[config]', description: 'x' }], run },
  ],
  '1.0.0',
  async () => 0,
  () => {},
);
const tree = completionTree(program);

/** What bash offers for a line; the last word is the one being typed. */
function offered(...words: string[]): string[] {
  const script = `${bashCompletion(tree)}
COMP_WORDS=(${['largeforge', ...words].map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}
_largeforge; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', script], { encoding: 'utf8', cwd: import.meta.dirname })
    .split('\n')
    .filter(Boolean);
}

describe('completion in bash', () => {
  it('offers commands, of groups too', () => {
    expect(offered('')).toEqual(['inspect', 'run', 'train']);
    expect(offered('tr')).toEqual(['train']);
    expect(offered('train', '')).toEqual(['dpo', 'sft']);
  });

  it('offers the flags of the command, and the global ones', () => {
    expect(offered('train', 'sft', '--')).toEqual(expect.arrayContaining(['--model', '--dtype', '--config', '--help']));
    expect(offered('train', 'dpo', '--')).not.toContain('--dtype');
    expect(offered('train', 'sft', '--model', 'x', '--dt')).toEqual(['--dtype']);
  });

  it('offers values: choices and files', () => {
    expect(offered('train', 'sft', '--dtype', '')).toEqual(['f32', 'bf16']);
    expect(offered('inspect', 'c')).toEqual(['config']);
    expect(offered('--log', '')).toEqual(['auto', 'pretty', 'json']);
    expect(offered('train', 'sft', '-m', 'completion.t')).toEqual(['completion.test.ts']);
    expect(offered('run', 'completion.t')).toEqual(['completion.test.ts']);
  });
});

it('zsh and fish get every command and flag of the tree', () => {
  const zsh = zshCompletion(tree);
  for (const part of [
    "'sft:Fine-tune it'\\''s model'",
    '--dtype[precision]:value:(f32 bf16)',
    '--model[base\\: \\[any\\] model]:value:_files',
  ]) {
    expect(zsh).toContain(part);
  }
  const fish = fishCompletion(tree);
  expect(fish).toContain(
    "complete -c largeforge -n '__largeforge_at train sft' -l dtype -x -a 'f32 bf16' -d 'precision'",
  );
  expect(fish).toContain("complete -c largeforge -n '__largeforge_at train' -f -a 'sft' -d 'Fine-tune it\\'s model'");
});
