import { onTestFinished } from 'vitest';
import { type Files, folderWith } from '../config/config.fixture.js';
import type { RunEvent } from '../events/events.js';
import { Application, type ApplicationOptions } from './application.js';
import type { Plugin } from './context.js';

export interface Booted {
  readonly application: Application;
  readonly folder: string;
  readonly events: RunEvent[];
  /** Everything that was logged. */
  readonly log: string[];
}

export interface BootOptions extends ApplicationOptions {
  /** Plugins that the config may list by name. */
  readonly known?: readonly Plugin[];
  /** A folder of an earlier boot, instead of a new one. */
  readonly folder?: string;
}

/** Boots LargeForge on a config in a folder of its own. */
export async function bootWith(files: Files | string, options: BootOptions = {}): Promise<Booted> {
  const { known = [], folder = folderWith(asFiles(files)), ...rest } = options;
  const log: string[] = [];
  const modules = Object.fromEntries(known.map((plugin) => [plugin.name, async () => plugin]));
  const application = await Application.boot({
    cwd: folder,
    env: {},
    modules,
    logFormat: 'json',
    logTo: { write: (line: string) => log.push(line) },
    ...rest,
  });
  onTestFinished(() => application.close().catch(() => {}));
  const events: RunEvent[] = [];
  application.events.on((event) => void events.push(event));
  return { application, folder, events, log };
}

function asFiles(files: Files | string): Files {
  return typeof files === 'string' ? { 'largeforge.config.yaml': files } : files;
}
