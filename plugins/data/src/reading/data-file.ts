import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { dataErrors } from '../errors.js';
import { jsonArray } from './json-array.js';
import { jsonLines } from './json-lines.js';
import { parquetRows } from './parquet.js';
import { plainText, type SampleBy } from './plain-text.js';
import type { RawRow, RowLimits } from './raw-row.js';

/** File names that are read; other files of a folder are left alone. */
const extensions = ['.json', '.jsonl', '.ndjson', '.parquet', '.txt'];

export interface FileOptions extends RowLimits {
  readonly sampleBy: SampleBy;
}

/** The data files that the paths name: files as they are, folders by the files in them that can be read, sorted. */
export async function dataFiles(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    const found = await stat(path).catch((cause: unknown) => {
      throw dataErrors.LF_DATA_FILE_MISSING({ path }, { cause });
    });
    if (!found.isDirectory()) {
      files.push(path);
      continue;
    }
    const names = (await readdir(path)).filter((name) => extensions.includes(extname(name).toLowerCase())).sort();
    if (names.length === 0) throw dataErrors.LF_DATA_FOLDER_EMPTY({ path, extensions });
    files.push(...names.map((name) => join(path, name)));
  }
  return files;
}

/** Rows of a data file in batches, read as a stream: JSON list, JSON Lines, Parquet or plain text. */
export async function* readRows(file: string, options: FileOptions): AsyncGenerator<RawRow[]> {
  const kind = await kindOf(file);
  if (kind.is === 'parquet') {
    yield* parquetRows(file, options);
    return;
  }
  const chunks = createReadStream(file, { start: kind.start, highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
  if (kind.is === 'text') yield* plainText(chunks, options, options.sampleBy);
  else if (kind.is === 'list') yield* jsonArray(chunks, options, file);
  else yield* jsonLines(chunks, options);
}

/** The shape of a file, from its first bytes and its name. `start` is behind a byte order mark. */
async function kindOf(file: string): Promise<{ is: 'list' | 'lines' | 'parquet' | 'text'; start: number }> {
  const handle = await open(file).catch((cause: unknown) => {
    throw dataErrors.LF_DATA_FILE_UNREADABLE({ path: file, reason: (cause as Error).message }, { cause });
  });
  try {
    const head = Buffer.alloc(1 << 16);
    const { bytesRead } = await handle.read(head, 0, head.length, 0);
    const bytes = head.subarray(0, bytesRead);
    if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
      throw dataErrors.LF_DATA_FILE_UNREADABLE({ path: file, reason: 'it is UTF-16; data must be UTF-8' });
    }
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
      throw dataErrors.LF_DATA_FILE_UNREADABLE({ path: file, reason: 'it is compressed with gzip; unpack it first' });
    }
    if (bytes.subarray(0, 4).toString('latin1') === 'PAR1') return { is: 'parquet', start: 0 };
    const start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    if (extname(file).toLowerCase() === '.txt') return { is: 'text', start };
    const text = bytes.subarray(start).toString('utf8').trimStart();
    if (text === '') throw dataErrors.LF_DATA_FILE_UNREADABLE({ path: file, reason: 'it is empty' });
    if (text.startsWith('[')) return { is: 'list', start };
    if (extname(file).toLowerCase() === '.json' && text.startsWith('{')) refuseSingleObject(file, text, bytesRead);
    return { is: 'lines', start };
  } finally {
    await handle.close();
  }
}

/** A `.json` file that begins with an object is JSON Lines if its first line is a whole object; else it is one object. */
function refuseSingleObject(file: string, text: string, bytesRead: number): void {
  const end = text.indexOf('\n');
  if (end === -1 && bytesRead === 1 << 16) return;
  try {
    JSON.parse(end === -1 ? text : text.slice(0, end));
  } catch {
    const keys = [...text.matchAll(/^\s{0,4}"([^"]+)"\s*:/gm)].map((match) => match[1] as string);
    throw dataErrors.LF_DATA_SINGLE_OBJECT({ path: file, keys: [...new Set(keys)].slice(0, 8) });
  }
}
