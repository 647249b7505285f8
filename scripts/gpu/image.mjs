/** Writes the image of a backend's kernels: the layout of engine/native/gpu/runtime/image.h. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const HEADER = 128;
const ENTRY = 64;
const ALIGNMENT = 4096;

/**
 * @param path of the image
 * @param modules name and file of each module
 * @param toolkit version of the compiler's toolkit
 * @param architectures for people
 */
export function writeImage(path, modules, toolkit, architectures) {
  const contents = modules.map(({ file }) => readFileSync(file));
  let at = Math.ceil((HEADER + ENTRY * modules.length) / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(at);
  header.write('LFGPU1', 0, 'latin1');
  header.writeUInt32LE(modules.length, 8);
  header.writeUInt32LE(toolkit, 12);
  header.write(architectures.join(' ').slice(0, 111), 16, 'latin1');
  const parts = [header];
  for (const [i, { name }] of modules.entries()) {
    const entry = HEADER + ENTRY * i;
    header.write(name.slice(0, 47), entry, 'latin1');
    header.writeBigUInt64LE(BigInt(at), entry + 48);
    header.writeBigUInt64LE(BigInt(contents[i].length), entry + 56);
    // What follows a module must not look like a part of it.
    const padded = Buffer.alloc(Math.ceil((contents[i].length + 1) / ALIGNMENT) * ALIGNMENT);
    contents[i].copy(padded);
    parts.push(padded);
    at += padded.length;
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, Buffer.concat(parts));
  renameSync(`${path}.new`, path);
}
