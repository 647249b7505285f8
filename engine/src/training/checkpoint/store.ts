import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { asUnwritable } from '../../formats/atomic-file.js';
import { trainingErrors } from '../errors.js';
import { deleteFolder, removeUnfinished, stageFolder } from './durable-folder.js';
import { findDamage, writeManifest } from './manifest.js';

/** A checkpoint that was found damaged while looking for one to resume from. */
export interface DamagedCheckpoint {
  readonly path: string;
  readonly reason: string;
}

/** Which checkpoints stay. */
export interface Retention {
  /** So many of the latest. */
  readonly keep: number;
  /** Those of the multiples of this step, for good. */
  readonly keepEvery?: number | undefined;
}

/**
 * The checkpoints of one run, `checkpoint-<step>` folders beside each other. Each is whole or absent; its manifest tells
 * whether it still is what was written.
 */
export class CheckpointStore {
  constructor(
    readonly folder: string,
    private readonly retention: Retention,
  ) {}

  pathOf(step: number): string {
    return join(this.folder, `checkpoint-${step}`);
  }

  /** Steps of which there is a checkpoint, ascending. */
  async steps(): Promise<number[]> {
    const names = await readdir(this.folder).catch(() => []);
    const steps = names.map((name) => /^checkpoint-(\d+)$/.exec(name)?.[1]).filter((step) => step !== undefined);
    return steps.map(Number).sort((a, b) => a - b);
  }

  /**
   * Writes a checkpoint. When this is done the files are written; what it returns then digests them, forces them to disk,
   * and deletes the checkpoints that are not kept. Until that is done the checkpoint is not there.
   * @param write fills the folder
   * @param best step of the checkpoint that is kept however old it is
   * @returns the rest of the work, which gives the checkpoint's path
   */
  async save(
    step: number,
    write: (folder: string) => Promise<void>,
    best: number | undefined,
  ): Promise<() => Promise<string>> {
    const path = this.pathOf(step);
    const staged = await stageFolder(path, write);
    return async () => {
      try {
        await writeManifest(staged.folder, step);
      } catch (error) {
        await staged.discard().catch(() => {}); // the first failure is the one to tell
        throw asUnwritable(path, error);
      }
      await staged.commit();
      await this.prune(step, best);
      return path;
    };
  }

  /** Removes what a crashed run left unfinished. */
  async tidy(): Promise<void> {
    await removeUnfinished(this.folder);
  }

  /** Deletes every checkpoint: the run begins anew. */
  async clear(): Promise<void> {
    await this.tidy();
    for (const step of await this.steps()) await deleteFolder(this.pathOf(step));
  }

  /**
   * The latest checkpoint that is whole, if there is any checkpoint, and the later ones that are damaged.
   * @throws LF_ENGINE_CHECKPOINT_ALL_DAMAGED
   */
  async latest(): Promise<{ latest?: { step: number; path: string }; damaged: readonly DamagedCheckpoint[] }> {
    const damaged: DamagedCheckpoint[] = [];
    for (const step of (await this.steps()).reverse()) {
      const path = this.pathOf(step);
      const reason = await findDamage(path);
      if (reason === undefined) return { latest: { step, path }, damaged };
      damaged.push({ path, reason });
    }
    if (damaged.length === 0) return { damaged };
    const list = damaged.map(({ path, reason }) => `${path}: ${reason}`);
    throw trainingErrors.CHECKPOINT_ALL_DAMAGED({ folder: this.folder, damaged: list });
  }

  private async prune(step: number, best: number | undefined): Promise<void> {
    const { keep, keepEvery } = this.retention;
    for (const old of (await this.steps()).slice(0, -keep)) {
      const kept = old === best || old === step || (keepEvery !== undefined && old % keepEvery === 0);
      if (!kept) await deleteFolder(this.pathOf(old));
    }
  }
}
