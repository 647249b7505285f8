/** llama.cpp for tests, as the npm package node-llama-cpp with its built library: outside of the checkout, reused. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from './setup.mjs';

const VERSION = '3.22.1';
const cache =
  process.env.LARGEFORGE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'largeforge');
const SYSTEMS = { linux: 'linux', darwin: 'mac', win32: 'win' };

/** The folder of the package. Only the library for processors of this machine's kind is fetched. */
export function llamaCpp() {
  const folder = join(cache, `node-llama-cpp-${VERSION}`);
  const package_ = join(folder, 'node_modules/node-llama-cpp');
  const marker = join(folder, '.installed');
  if (existsSync(marker)) return package_;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
  const metal = process.platform === 'darwin' && process.arch === 'arm64' ? '-metal' : '';
  const library = `@node-llama-cpp/${SYSTEMS[process.platform]}-${process.arch}${metal}`;
  const packages = ['node-llama-cpp', library].map((name) => `${name}@${VERSION}`);
  const quietly = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  run('npm', ['install', '--prefix', folder, ...quietly, ...packages]);
  writeFileSync(marker, '');
  return package_;
}
