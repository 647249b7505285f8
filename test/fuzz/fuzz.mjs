/** Opens damaged model files as the framework does, and tells errors that say what is wrong from everything else. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exampleFiles } from './example-files.mjs';
import { mutate, randomNumbers } from './mutate.mjs';

const MOST_CPU_MICROSECONDS = 1_000_000;
const MOST_GROWTH_BYTES = 256 * 2 ** 20;

/** What the device turns into f32; other tensors are read as they are. */
const DECODED = /^(f32|f16|bf16|f64|q\d_[01k])$/;

/**
 * Damages `files` example files, one after the other, with the damage that `seed` gives, and opens each. Returns how
 * often each outcome came: "read", or the code of an error. Throws for any other outcome, and when a file takes more
 * than a second of processor time or 256 MiB of memory; the file is then kept in `folder`.
 */
export async function fuzz({ engine, device, files, seed, folder, progress = () => {} }) {
  mkdirSync(folder, { recursive: true });
  const fill = randomNumbers(seed);
  const examples = exampleFiles((bytes) => Buffer.from(Array.from({ length: bytes }, () => Math.floor(fill() * 256))));
  const outcomes = new Map();
  for (let i = 0; i < files; i++) {
    const random = randomNumbers(Math.imul(seed, 0x9e3779b1) + i);
    const { format, bytes } = examples[i % examples.length];
    const other = examples[Math.floor(random() * examples.length)].bytes;
    const path = join(folder, `current.${format}`);
    // The examples themselves come first: they must be read.
    writeFileSync(path, i < examples.length ? bytes : mutate(random, format, bytes, other));
    const cpu = process.cpuUsage();
    const memory = process.memoryUsage.rss();
    let outcome;
    try {
      outcome = await open(engine, device, format, path);
      if (i < examples.length && outcome !== 'read') throw new Error(`an undamaged file gives ${outcome}`);
      const { user, system } = process.cpuUsage(cpu);
      if (user + system > MOST_CPU_MICROSECONDS) throw new Error(`it took ${(user + system) / 1e6} s`);
      const growth = process.memoryUsage.rss() - memory;
      if (growth > MOST_GROWTH_BYTES) throw new Error(`it took ${growth} bytes of memory`);
    } catch (cause) {
      const kept = join(folder, `seed-${seed}-file-${i}.${format}`);
      copyFileSync(path, kept);
      throw new Error(`file ${i} of seed ${seed}, kept as ${kept}: ${cause.message}`, { cause });
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    progress(i + 1);
  }
  return outcomes;
}

/** Reads the header, every tensor, and of GGUF files what they say of the model. */
async function open(engine, device, format, path) {
  return (
    (await outcomeOf(() => readTensors(engine, device, format, path))) ??
    (format === 'gguf' ? await described(engine, path) : 'read')
  );
}

/** The examples are no whole models, so that refusing one is as good as reading it. */
async function described(engine, path) {
  await outcomeOf(() => engine.readModelSource(path));
  return 'read';
}

async function outcomeOf(action) {
  try {
    await action();
    return undefined;
  } catch (error) {
    const known = typeof error?.code === 'string' && error.code.startsWith('LF_') && typeof error.remedy === 'string';
    if (!known) throw error;
    return error.code;
  }
}

async function readTensors(engine, device, format, path) {
  const { tensors } = format === 'gguf' ? engine.readGguf(path) : engine.readSafetensors(path);
  const opened = [];
  try {
    for (const { dtype, shape, offset, bytes } of tensors.values()) {
      if (bytes === 0) continue;
      const allocation = device.mapFile(path, offset, bytes);
      const columns = shape.at(-1) ?? 1;
      const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
      const stored = engine.Tensor.over(device, allocation, [rows, columns], dtype);
      opened.push(stored);
      if (!DECODED.test(dtype)) {
        await device.read(stored, bytes);
        continue;
      }
      const decoded = engine.Tensor.empty(device, [rows, columns], 'f32');
      opened.push(decoded);
      engine.commands.copy(device.recorder, stored, decoded);
    }
    await device.flush();
  } finally {
    await device.flush().catch(() => {});
    for (const tensor of opened) tensor[Symbol.dispose]();
  }
}
