import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRows } from './data-file.js';

/** Made by fixtures/make_parquet.py. */
const fixture = fileURLToPath(new URL('../../fixtures/rows.parquet', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'largeforge-parquet-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function rowsOf(path: string, maxRowBytes = 1 << 20) {
  const rows = [];
  for await (const batch of readRows(path, { sampleBy: 'line', maxRowBytes })) rows.push(...batch);
  return rows;
}

describe('a Parquet file', () => {
  it('is read row by row, whatever it is called', async () => {
    const path = join(folder, 'train-00000');
    copyFileSync(fixture, path);
    const rows = await rowsOf(path);
    expect(rows.map(({ row }) => row)).toEqual([1, 2, 3, 4, 5]);
    expect(JSON.parse(rows[3]?.text as string)).toEqual({
      id: 2 ** 40 + 3,
      messages: [
        { role: 'user', content: 'frage 3 ü' },
        { role: 'assistant', content: 'aaaa' },
      ],
    });
  });

  it('leaves out rows that are too long', async () => {
    const all = await rowsOf(fixture);
    const rows = await rowsOf(fixture, all[2]?.text.length);
    expect(rows.map(({ problem }) => problem !== undefined)).toEqual([false, false, false, true, true]);
  });

  it.each([4, 100, 900])('that was cut off after %i bytes is named', async (bytes) => {
    const path = join(folder, 'cut.parquet');
    copyFileSync(fixture, path);
    expect(readFileSync(path).length).toBeGreaterThan(bytes);
    truncateSync(path, bytes);
    await expect(rowsOf(path)).rejects.toMatchObject({
      code: 'LF_DATA_FILE_UNREADABLE',
      message: expect.stringMatching(/cut\.parquet': as Parquet/),
    });
  });
});
