import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { trainingErrors } from '../errors.js';
import { deleteFolder, removeUnfinished, writeFolder } from './durable-folder.js';
import { findDamage, writeManifest } from './manifest.js';

/** A checkpoint that was found damaged while looking for one to resume from. */
export interface DamagedCheckpoint {
  readonly path: string;
  readonly reason: string;
}

/**
 * The checkpoints of one run, `checkpoint-<step>` folders beside each other. Each is whole or absent; its manifest tells
 * whether it still is what was written.
 */
export class CheckpointStore {
  constructor(
    readonly folder: string,
    private readonly keep: number,
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
   * Writes a checkpoint, then deletes those beyond the number that is kept.
   * @param write fills the folder
   * @param best step of the checkpoint that is kept however old it is
   * @returns its path
   */
  async save(step: number, write: (folder: string) => Promise<void>, best: number | undefined): Promise<string> {
    const path = this.pathOf(step);
    await writeFolder(path, async (folder) => {
      await write(folder);
      await writeManifest(folder, step);
    });
    for (const old of (await this.steps()).slice(0, -this.keep)) {
      if (old !== best && old !== step) await deleteFolder(this.pathOf(old));
    }
    return path;
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
}
