import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { asUnwritable } from '@largeforge/engine';
import { optimizeErrors } from './errors.js';

/** Begins the name of a folder that a process writes to; its number follows. */
const UNFINISHED = '.unfinished-';
/** Weights and what describes them: of another model, they would be read with the new one. */
const OF_BEFORE = /\.safetensors(\.index\.json)?$|^quantize_config\.json$/;

/**
 * A model that is being written: beside its place until it is known to be good, then put there whole, config.json last.
 * Disposed before that, it leaves the folder as it was.
 */
export class StagedModel implements Disposable {
  /** Where the model is written. */
  readonly partial: string;
  private readonly existed: boolean;

  /**
   * @param folder where the model belongs
   * @param source models that are read; writing over them is refused with LF_OPTIMIZE_SAME_FOLDER
   */
  constructor(
    readonly folder: string,
    ...source: readonly string[]
  ) {
    const real = existsSync(folder) ? realpathSync(folder) : undefined;
    if (source.some((path) => existsSync(path) && realpathSync(path) === real)) {
      throw optimizeErrors.LF_OPTIMIZE_SAME_FOLDER({ folder });
    }
    this.partial = join(folder, `${UNFINISHED}${process.pid}`);
    this.existed = real !== undefined;
  }

  /** Makes the folder to write to; what processes that were killed have left is removed. Throws LF_ENGINE_FILE_UNWRITABLE. */
  open(): string {
    try {
      mkdirSync(this.partial, { recursive: true });
      for (const name of readdirSync(this.folder)) {
        if (!name.startsWith(UNFINISHED) || runs(Number(name.slice(UNFINISHED.length)))) continue;
        rmSync(join(this.folder, name), { recursive: true, force: true });
      }
    } catch (cause) {
      throw asUnwritable(this.partial, cause);
    }
    return this.partial;
  }

  /** Puts the model in its place. */
  commit(): void {
    const { folder, partial } = this;
    // A config.json of before would describe the new weights wrongly; with none the folder is no model.
    rmSync(join(folder, 'config.json'), { force: true });
    for (const name of readdirSync(folder)) if (OF_BEFORE.test(name)) rmSync(join(folder, name));
    const names = readdirSync(partial).sort((a, b) => Number(a === 'config.json') - Number(b === 'config.json'));
    for (const name of names) renameSync(join(partial, name), join(folder, name));
  }

  [Symbol.dispose](): void {
    const { folder, partial } = this;
    rmSync(partial, { recursive: true, force: true });
    if (!this.existed && existsSync(folder) && readdirSync(folder).length === 0) rmSync(folder, { recursive: true });
  }
}

/** Whether there is a process of this number. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
