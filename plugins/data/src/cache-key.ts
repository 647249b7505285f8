import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Tokenizer } from '@largeforge/engine';
import type { DatasetFormat } from './formats/format.js';
import type { DataOptions } from './options.js';

/** Changes when the same rows would be tokenised to something else by a newer version of this plugin. */
const tokenisation = 1;

/** Names tokenised rows by everything that decides them: the files' bytes, the tokenizer, the format, the options. */
export async function cacheKey(
  files: readonly string[],
  tokenizer: Tokenizer,
  format: DatasetFormat,
  options: DataOptions,
): Promise<string> {
  const { columns, style, trainOn, sampleBy, maxRowBytes, maxRejected } = options;
  const { source } = tokenizer;
  const hash = createHash('sha256');
  hash.update(
    JSON.stringify({
      tokenisation,
      files,
      tokenizer: {
        tokenizer: source.json ?? source.tokenizer,
        config: source.config,
        chatTemplate: source.chatTemplate,
      },
      eosTokenIds: tokenizer.eosTokenIds,
      format: format.id,
      options: { columns: Object.entries(columns).sort(), style, trainOn, sampleBy, maxRowBytes, maxRejected },
    }),
  );
  // A format of another plugin may change without changing its name.
  if (format.module?.startsWith('file:')) hash.update(await readFile(fileURLToPath(format.module)));
  for (const file of files) hash.update(await hashFile(file));
  return hash.digest('hex');
}

async function hashFile(file: string): Promise<Buffer> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest();
}
