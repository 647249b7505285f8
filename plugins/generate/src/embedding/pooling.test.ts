import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readPooling } from './pooling.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-pooling-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(types: readonly string[], pooling: Record<string, unknown>): void {
  const modules = types.map((name, idx) => ({
    idx,
    path: name === 'Transformer' ? '' : `${idx}_${name}`,
    type: `sentence_transformers.models.${name}`,
  }));
  writeFileSync(join(folder, 'modules.json'), JSON.stringify(modules));
  mkdirSync(join(folder, '1_Pooling'), { recursive: true });
  writeFileSync(join(folder, '1_Pooling', 'config.json'), JSON.stringify(pooling));
}

describe('the pooling of a sentence encoder', () => {
  it('is the mean as a unit vector where its folder says nothing', () => {
    expect(readPooling(folder)).toEqual({ of: 'mean', normalize: true });
  });

  it('is what sentence-transformers wrote', () => {
    write(['Transformer', 'Pooling', 'Normalize'], { pooling_mode_mean_tokens: true, pooling_mode_cls_token: false });
    writeFileSync(join(folder, 'sentence_bert_config.json'), '{"max_seq_length": 256, "do_lower_case": false}');
    expect(readPooling(folder)).toEqual({ of: 'mean', normalize: true, maxLength: 256 });
    write(['Transformer', 'Pooling'], { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false });
    expect(readPooling(folder)).toEqual({ of: 'cls', normalize: false, maxLength: 256 });
  });

  it.each([
    [['Transformer', 'Pooling'], { pooling_mode_max_tokens: true }, /pooling_mode_max_tokens/],
    [
      ['Transformer', 'Pooling'],
      { pooling_mode_cls_token: true, pooling_mode_mean_tokens: true },
      /cls_token and pooling/,
    ],
    [['Transformer', 'Pooling', 'Dense'], { pooling_mode_mean_tokens: true }, /models\.Dense/],
  ])('is refused where it is another one: %o %o', (types, pooling, message) => {
    write(types, pooling);
    expect(() => readPooling(folder)).toThrow(
      expect.objectContaining({ code: 'LF_MODEL_POOLING', message: expect.stringMatching(message) }),
    );
  });
});
