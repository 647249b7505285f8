import { createHash } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';

/** Editors write a file in several strokes. */
const SETTLE_MS = 150;
/** Not every file system reports changes (network mounts, some containers): look now and then as well. */
const POLL_MS = 5000;

/**
 * Tells when the content of files changes. Folders are watched, not files: editors and Kubernetes replace a file (or a
 * link on the way to it) instead of writing into it. It does not keep the process alive.
 */
export class FileWatcher {
  private watchers: FSWatcher[] = [];
  private files: readonly string[] = [];
  private digest = '';
  private settle: NodeJS.Timeout | undefined;
  private readonly poll: NodeJS.Timeout;

  constructor(
    files: readonly string[],
    private readonly onChange: () => void,
  ) {
    this.follow(files);
    this.poll = setInterval(() => this.check(), POLL_MS);
    this.poll.unref();
  }

  /** Watches these files from now on. */
  follow(files: readonly string[]): void {
    if (files.join('\0') === this.files.join('\0')) return;
    this.closeWatchers();
    this.files = files;
    for (const folder of new Set(files.map(dirname))) {
      try {
        const watcher = watch(folder, { persistent: false }, () => this.stir());
        watcher.on('error', () => watcher.close()); // polling goes on
        this.watchers.push(watcher);
      } catch {
        // Too many watches, or no such folder any more: polling sees the change too.
      }
    }
    // What changed before it was watched must not be missed: the first look counts as a change.
    this.digest = '';
    this.stir();
  }

  close(): void {
    clearTimeout(this.settle);
    clearInterval(this.poll);
    this.closeWatchers();
  }

  private closeWatchers(): void {
    for (const watcher of this.watchers) watcher.close();
    this.watchers = [];
  }

  private stir(): void {
    clearTimeout(this.settle);
    this.settle = setTimeout(() => this.check(), SETTLE_MS);
    this.settle.unref();
  }

  private check(): void {
    const digest = this.read();
    if (digest === this.digest) return;
    this.digest = digest;
    this.onChange();
  }

  private read(): string {
    const hash = createHash('sha256');
    for (const file of this.files) {
      try {
        hash.update(readFileSync(file)).update('\0');
      } catch {
        hash.update('missing\0');
      }
    }
    return hash.digest('hex');
  }
}
