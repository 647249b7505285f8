import type { ScoredSequence } from './sequence.js';

/** Sequences whose first `prefix` tokens are the same, and are computed once. */
export interface PrefixGroup {
  /** Tokens in common, none of which is scored; 0 when nothing is shared. */
  readonly prefix: number;
  /** Indices of the sequences. */
  readonly members: readonly number[];
  /** Tokens that go through the model for the group. */
  readonly cost: number;
}

/** A shorter prefix is not worth the second pass that sharing takes. */
const MINIMUM_PREFIX = 8;

/**
 * Groups sequences by what they begin with, so that the choices of a question share its text, and questions the worked
 * examples before them. Greedy over the sequences in lexicographic order: one joins the group before it when that saves
 * more tokens than it costs.
 * @param maxTokens that a group with several members may put through the model
 */
export function groupByPrefix(sequences: readonly ScoredSequence[], maxTokens: number): PrefixGroup[] {
  const order = Array.from(sequences.keys()).sort((a, b) => compareTokens(sequences[a]!.tokens, sequences[b]!.tokens));
  const groups: { prefix: number; members: number[]; inputs: number }[] = [];
  for (const index of order) {
    const { tokens, from } = sequences[index]!;
    const inputs = tokens.length - 1;
    const group = groups.at(-1);
    if (group) {
      const before = sequences[group.members[0]!]!.tokens;
      const shared = Math.min(commonPrefix(before, tokens), group.prefix, from - 1);
      const count = group.members.length;
      const cost = group.inputs + inputs - shared * count;
      if (shared >= MINIMUM_PREFIX && shared * count > group.prefix * (count - 1) && cost <= maxTokens) {
        group.members.push(index);
        group.prefix = shared;
        group.inputs += inputs;
        continue;
      }
    }
    groups.push({ prefix: from - 1, members: [index], inputs });
  }
  return groups.map(({ prefix, members, inputs }) =>
    members.length === 1
      ? { prefix: 0, members, cost: inputs }
      : { prefix, members, cost: inputs - prefix * (members.length - 1) },
  );
}

function compareTokens(a: Int32Array, b: Int32Array): number {
  const at = commonPrefix(a, b);
  return at < a.length && at < b.length ? a[at]! - b[at]! : a.length - b.length;
}

function commonPrefix(a: Int32Array, b: Int32Array): number {
  const end = Math.min(a.length, b.length);
  let at = 0;
  while (at < end && a[at] === b[at]) at++;
  return at;
}
