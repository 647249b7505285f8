import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkSplit, searchCorpus } from './check-split.mjs';
import { makeFiles } from './make-data.mjs';
import { patterns } from './patterns.mjs';

describe('recipe of the quickstart', () => {
  it('makes the committed rows, byte for byte', () => {
    for (const [name, text] of Object.entries(makeFiles())) {
      expect(readFileSync(new URL(`../data/${name}`, import.meta.url), 'utf8') === text, name).toBe(true);
    }
  });

  it('shares no value and no sentence pattern between training and held-out rows', () => {
    const { train, heldOut, shared } = checkSplit(2000);
    expect(shared).toEqual([]);
    expect(heldOut.commands.size).toBe(200);
    expect(heldOut.patterns.size).toBe(28);
    expect(train.patterns.size).toBeGreaterThan(1000);
  });

  it('would find a held-out pattern in the base corpus', () => {
    // A story that the corpus does hold stands in for a held-out pattern.
    const { play } = patterns as unknown as Record<string, { heldOut: string[] }>;
    play!.heldOut.push('Now the {device} in the {room} is on');
    try {
      expect(searchCorpus(2000).length).toBeGreaterThan(0);
    } finally {
      play!.heldOut.pop();
    }
  });

  it('keeps held-out rows out of the trials that recipes are chosen by', () => {
    const committed = new Set(readFileSync(new URL('../data/heldout.jsonl', import.meta.url), 'utf8').split('\n'));
    const trial = Object.values(makeFiles({ trial: true })).flatMap((text) => text.split('\n'));
    expect(trial.filter((line) => line !== '' && committed.has(line))).toEqual([]);
  });
});
