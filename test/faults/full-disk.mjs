/**
 * Loaded before a program (`node --import`): once so many bytes (LARGEFORGE_TEST_DISK_BYTES) were written to files, every
 * write fails as it does on a full disk. What was written before stays, a write that does not fit is cut off.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { fileURLToPath } from 'node:url';

let left = Number(process.env.LARGEFORGE_TEST_DISK_BYTES);

function full() {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
    errno: -28,
    syscall: 'write',
  });
}

/** Bytes that a write may have; throws when there is no room for any. */
function take(bytes) {
  if (left <= 0 && bytes > 0) throw full();
  const taken = Math.min(bytes, left);
  left -= taken;
  return taken;
}

const bytesOf = (data) => (typeof data === 'string' ? Buffer.byteLength(data) : (data.byteLength ?? 0));
const isFile = (descriptor) => descriptor > 2;

const handle = await fs.promises.open(fileURLToPath(import.meta.url));
const FileHandle = Object.getPrototypeOf(handle);
await handle.close();
const { write, writeFile, writev, appendFile } = FileHandle;
FileHandle.write = async function (data, ...rest) {
  if (typeof data === 'string') {
    take(bytesOf(data));
    return write.call(this, data, ...rest);
  }
  const [offset = 0, length = data.byteLength - offset, position = null] =
    typeof rest[0] === 'object' && rest[0] !== null ? [rest[0].offset, rest[0].length, rest[0].position] : rest;
  return write.call(this, data, offset, take(length), position);
};
FileHandle.writev = async function (buffers, position) {
  for (const buffer of buffers) take(bytesOf(buffer));
  return writev.call(this, buffers, position);
};
for (const [name, own] of Object.entries({ writeFile, appendFile })) {
  FileHandle[name] = async function (data, ...rest) {
    if (take(bytesOf(data)) < bytesOf(data)) throw full();
    return own.call(this, data, ...rest);
  };
}

const { writeSync, writeFileSync } = fs;
fs.writeSync = (descriptor, data, offset, length, position) => {
  if (!isFile(descriptor) || typeof data === 'string') {
    if (isFile(descriptor) && take(bytesOf(data)) < bytesOf(data)) throw full();
    return writeSync(descriptor, data, offset, length, position);
  }
  const from = typeof offset === 'number' ? offset : 0;
  return writeSync(descriptor, data, from, take(length ?? data.byteLength - from), position);
};
fs.writeFileSync = (file, data, ...rest) => {
  if ((typeof file !== 'number' || isFile(file)) && take(bytesOf(data)) < bytesOf(data)) throw full();
  return writeFileSync(file, data, ...rest);
};
const { writeFile: writeWhole, appendFile: appendWhole } = fs.promises;
fs.promises.writeFile = async (file, data, ...rest) => {
  if (bytesOf(data) > 0 && take(bytesOf(data)) < bytesOf(data)) throw full();
  return writeWhole(file, data, ...rest);
};
fs.promises.appendFile = async (file, data, ...rest) => {
  if (take(bytesOf(data)) < bytesOf(data)) throw full();
  return appendWhole(file, data, ...rest);
};
syncBuiltinESMExports();
