import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { z } from 'zod';

const name = 'manifest.json';

const manifestSchema = z.object({
  format: z.literal('largeforge-checkpoint'),
  version: z.literal(1),
  step: z.int().min(0),
  files: z.array(z.object({ path: z.string(), bytes: z.int(), sha256: z.string() })),
});

/** What a checkpoint consists of, with the digest of each of its files. */
export type Manifest = z.infer<typeof manifestSchema>;

/** Lists and digests the files of a folder, and writes the manifest beside them. */
export async function writeManifest(folder: string, step: number): Promise<void> {
  const files = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const { size } = await stat(path);
    files.push({ path: relative(folder, path).split(sep).join('/'), bytes: size, sha256: await sha256(path) });
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  const manifest: Manifest = { format: 'largeforge-checkpoint', version: 1, step, files };
  await writeFile(join(folder, name), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** What is wrong with a checkpoint: the first file that is not what its manifest says. Undefined when it is whole. */
export async function findDamage(folder: string): Promise<string | undefined> {
  let manifest: Manifest;
  try {
    manifest = manifestSchema.parse(JSON.parse(await readFile(join(folder, name), 'utf8')));
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return missing ? `${name} is missing` : `${name} is not readable`;
  }
  for (const { path, bytes, sha256: expected } of manifest.files) {
    const file = join(folder, path);
    const size = await stat(file).then(
      (found) => found.size,
      () => undefined,
    );
    if (size === undefined) return `${path} is missing`;
    if (size !== bytes) return `${path} has ${size} bytes instead of ${bytes}`;
    if ((await sha256(file)) !== expected) return `${path} does not match its checksum`;
  }
  return undefined;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
