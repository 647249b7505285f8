import { type Candidate, voteOf } from './answers.js';

/** The candidate whose tokens are likeliest, in the geometric mean, so that long answers are not punished. */
export function likeliest(candidates: readonly Candidate[]): Candidate | undefined {
  return candidates.reduce<Candidate | undefined>(
    (best, candidate) => (best === undefined || candidate.confidence > best.confidence ? candidate : best),
    undefined,
  );
}

/** A vote counts this much where the expert tells no probabilities. */
const silentWeight = 0.5;

/**
 * The answer that most candidates give, in the words of the surest of them. Between answers with as many votes the one
 * with the surest candidate wins.
 * @param weights equal votes, or each as much as its confidence
 */
export function elected(candidates: readonly Candidate[], weights: 'equal' | 'confidence'): Candidate | undefined {
  const parties = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const vote = voteOf(candidate);
    parties.set(vote, [...(parties.get(vote) ?? []), candidate]);
  }
  let winner: { readonly candidate: Candidate; readonly votes: number } | undefined;
  for (const party of parties.values()) {
    const votes = party.reduce(
      (sum, { confidence }) => sum + (weights === 'equal' ? 1 : confidence || silentWeight),
      0,
    );
    const candidate = likeliest(party)!;
    const ahead = !winner || votes > winner.votes + 1e-9;
    const level = winner !== undefined && Math.abs(votes - winner.votes) <= 1e-9;
    if (ahead || (level && candidate.confidence > winner!.candidate.confidence)) winner = { candidate, votes };
  }
  return winner?.candidate;
}
