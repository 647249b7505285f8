import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { Logger } from '../kernel/plugin.js';

export interface StepState {
  readonly hash: string;
  readonly outputs: Record<string, unknown>;
  readonly finishedAt: string;
}

/** What finished steps left behind, in one file that is replaced as a whole. */
export class PipelineState {
  private readonly steps: Record<string, StepState>;

  constructor(
    private readonly file: string,
    log: Logger,
  ) {
    this.steps = read(file, log);
  }

  get(step: string): StepState | undefined {
    return this.steps[step];
  }

  set(step: string, state: StepState): void {
    this.steps[step] = state;
    this.save();
  }

  forget(step: string): void {
    if (!(step in this.steps)) return;
    delete this.steps[step];
    this.save();
  }

  private save(): void {
    mkdirSync(dirname(this.file), { recursive: true });
    const temporary = `${this.file}.${process.pid}.new`;
    const handle = openSync(temporary, 'w');
    writeSync(handle, JSON.stringify({ version: 1, steps: this.steps }, null, 2));
    fsyncSync(handle);
    closeSync(handle);
    renameSync(temporary, this.file);
  }
}

function read(file: string, log: Logger): Record<string, StepState> {
  if (!existsSync(file)) return {};
  try {
    const { version, steps } = JSON.parse(readFileSync(file, 'utf8')) as {
      version: number;
      steps: Record<string, StepState>;
    };
    if (version === 1 && typeof steps === 'object' && steps !== null) return { ...steps };
    log.warn(`${file} is of another version: all steps run again`);
  } catch {
    log.warn(`${file} is damaged: all steps run again`);
  }
  return {};
}

/** A digest of a file's or a folder's content. Undefined when there is none. */
export async function contentHash(path: string): Promise<string | undefined> {
  if (!existsSync(path)) return undefined;
  const hash = createHash('sha256');
  if (statSync(path).isFile()) {
    await addFile(hash, path);
  } else {
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    for (const file of files) {
      hash.update(`${relative(path, file)}\0`);
      await addFile(hash, file);
    }
  }
  return hash.digest('hex');
}

async function addFile(hash: ReturnType<typeof createHash>, file: string): Promise<void> {
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  hash.update('\0');
}
