/**
 * Builds the native code of a checkout: the N-API binding, the CPU backend (every ISA level) with the program that
 * measures this machine's limits, and the GPU backends' runtime (their device code is made by build-cuda.mjs and
 * build-rocm.mjs).
 * Each object is rebuilt only when its source, a header that it includes, or its flags changed.
 *
 *   node scripts/build-native.mjs [--conformance] [--sanitize]
 *
 * --conformance builds the conformance runner and the emulated GPU too, which only tests need; --sanitize builds with AddressSanitizer and
 * UBSan, into build/sanitized folders.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closure } from './source-closure.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const sanitize = process.argv.includes('--sanitize');
const output = (path) => join(root, dirname(path), sanitize ? 'build/sanitized' : 'build', basename(path));

const compiler = findCompiler();
const optimise = sanitize ? ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'] : ['-O3'];
const common = ['-std=c++17', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra', '-pthread', ...optimise];
const linkFlags = ['-shared', '-pthread', ...(sanitize ? ['-fsanitize=address,undefined'] : [])];

/** Instruction set levels of the CPU kernels: one table each, chosen at run time. */
const x64 = ['-mavx2', '-mfma', '-mf16c'];
const avx512 = [...x64, '-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mprefer-vector-width=512'];
const avx512bf16 = [...avx512, '-mavx512bf16', '-mavx512vnni'];
const levels = [
  { name: 'portable', isa: 'portable', level: 0, flags: [] },
  ...(process.arch === 'x64'
    ? [
        { name: 'avx2', isa: 'avx2', level: 1, flags: x64 },
        { name: 'avx512', isa: 'avx512', level: 2, flags: avx512 },
        { name: 'avx512_bf16', isa: 'avx512-bf16', level: 3, flags: avx512bf16 },
        // What runs on tiles, over the level above; and the same with tiles emulated, for tests.
        {
          name: 'amx_emulated',
          isa: 'amx-emulated',
          level: 4,
          over: 'avx512_bf16',
          flags: [...avx512bf16, '-DLF_EMULATED_TILES'],
        },
        {
          name: 'amx',
          isa: 'amx',
          level: 4,
          over: 'avx512_bf16',
          flags: [...avx512bf16, '-mamx-tile', '-mamx-bf16', '-mamx-int8'],
        },
      ]
    : []),
];

function findCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  for (const name of candidates) {
    if (spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0) return name;
  }
  const what = process.env.CXX ? `CXX is ${process.env.CXX}, which does not run.` : 'No C++ compiler was found.';
  process.stderr.write(
    `${what} Install one: "apt-get install g++" (Debian, Ubuntu), "dnf install gcc-c++" (Fedora, RHEL), "xcode-select --install" (macOS).\n`,
  );
  process.exit(1);
}

/** How a source is compiled for a level. */
const levelFlags = (level) => [
  `-DLF_ISA=${level.name}`,
  `-DLF_ISA_NAME="${level.isa}"`,
  `-DLF_ISA_LEVEL=${level.level}`,
  ...level.flags,
];

const jobs = [];
const here = (path) => relative(root, path);

/** Plans an object file, which is also made anew when `generated` changes; returns its path. */
function object(folder, source, name, includes, flags, generated = '') {
  const path = join(folder, 'objects', `${name}.o`);
  // Paths are relative to the checkout, so that what was built stays valid when it is moved or copied.
  const args = [...common, ...flags, ...includes.map((include) => `-I${here(include)}`), '-c', here(source)];
  const hash = createHash('sha256').update(JSON.stringify([compiler, args]) + generated);
  for (const [file, text] of [...closure(source, includes)].sort()) hash.update(here(file)).update(text);
  jobs.push({ path, args: [...args, '-o', here(path)], stamp: hash.digest('hex') });
  return { path, stamp: jobs.at(-1).stamp };
}

function upToDate(path, stamp) {
  return existsSync(path) && existsSync(`${path}.stamp`) && readFileSync(`${path}.stamp`, 'utf8') === stamp;
}

const failures = [];

/** Runs the compiler unless its product is up to date. */
function compile(path, args, stamp) {
  if (upToDate(path, stamp)) return Promise.resolve(false);
  mkdirSync(dirname(path), { recursive: true });
  return new Promise((resolve) => {
    execFile(compiler, args, { cwd: root, maxBuffer: 1 << 26 }, (error, _stdout, stderr) => {
      if (stderr) process.stderr.write(stderr);
      if (error) failures.push(path);
      else writeFileSync(`${path}.stamp`, stamp);
      resolve(true);
    });
  });
}

async function inParallel(tasks) {
  const queue = [...tasks];
  const worker = async () => {
    for (let task = queue.shift(); task; task = queue.shift()) await task();
  };
  await Promise.all(Array.from({ length: Math.max(1, availableParallelism()) }, worker));
}

/** A product is linked next to its place and moved there, so that a running process keeps the one that it has. */
async function link(product, objects, flags) {
  const stamp = createHash('sha256')
    .update(JSON.stringify([compiler, flags, objects.map((o) => [here(o.path), o.stamp])]))
    .digest('hex');
  if (upToDate(product, stamp)) return;
  const temporary = `${product}.new`;
  await compile(temporary, [...flags, '-o', temporary, ...objects.map((o) => o.path), '-ldl'], stamp);
  if (failures.length > 0) return;
  renameSync(temporary, product);
  renameSync(`${temporary}.stamp`, `${product}.stamp`);
}

const sources = (folder) =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith('.cpp'))
        .sort()
    : [];
const abi = join(root, 'engine/native/include');
/** What backends share: command streams and errors. */
const command = join(root, 'engine/native/command');

/** Declares the kernel sources' registration functions and the levels' tables, so that neither is listed by hand. */
function writeKernelLists(folder, kernels, tileKernels) {
  const registrations = (names) => `${names.map((name) => `LF_REGISTER(${name})`).join('\n')}\n`;
  const tables = `${levels.map((level) => `LF_LEVEL(${level.name}, "${level.isa}")`).join('\n')}\n`;
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of [
    ['kernel_registrations.inc', registrations(kernels)],
    ['tile_kernel_registrations.inc', registrations(tileKernels)],
    ['kernel_levels.inc', tables],
  ]) {
    const path = join(folder, name);
    if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text);
  }
}

function planBackend() {
  const native = join(root, 'plugins/backend-cpu/native');
  const build = dirname(output('plugins/backend-cpu/library'));
  const generated = join(build, 'generated');
  const kernels = sources(join(native, 'kernels')).map((name) => name.slice(0, -4));
  // A source that defines ops says so by its registration function; others hold what several ops share.
  const registering = kernels.filter((name) =>
    readFileSync(join(native, 'kernels', `${name}.cpp`), 'utf8').includes(`void register_${name}(`),
  );
  const includes = [native, abi, command, generated];
  // Kernels that multiply matrices differ where there are tiles, and sources that only hold what they share come along.
  const onTiles = kernels.filter((name) => {
    const files = [...closure(join(native, 'kernels', `${name}.cpp`), includes).keys()];
    return !registering.includes(name) || files.some((file) => basename(file) === 'gemm.h');
  });
  const registeringOnTiles = registering.filter((name) => onTiles.includes(name));
  writeKernelLists(generated, registering, registeringOnTiles);
  const { version } = JSON.parse(readFileSync(join(root, 'plugins/backend-cpu/package.json'), 'utf8'));
  const objects = sources(native)
    .filter((name) => name !== 'kernel_table.cpp')
    .map((name) =>
      object(build, join(native, name), name.slice(0, -4), includes, [`-DLF_BACKEND_VERSION="${version}"`]),
    );
  for (const name of sources(command))
    objects.push(object(build, join(command, name), `command_${name.slice(0, -4)}`, [command, abi], []));
  for (const level of levels) {
    const flags = levelFlags(level);
    for (const name of level.over ? onTiles : kernels)
      objects.push(object(build, join(native, 'kernels', `${name}.cpp`), `${name}.${level.name}`, includes, flags));
    const table = [
      `-DLF_REGISTRATIONS="${level.over ? 'tile_kernel_registrations.inc' : 'kernel_registrations.inc'}"`,
      ...(level.over ? [`-DLF_BASE_TABLE=kernel_table_${level.over}`] : []),
    ];
    objects.push(
      object(
        build,
        join(native, 'kernel_table.cpp'),
        `kernel_table.${level.name}`,
        includes,
        [...flags, ...table],
        // It includes the list by a macro, whose file is not looked into.
        (level.over ? registeringOnTiles : registering).join(),
      ),
    );
  }
  const extension = process.platform === 'darwin' ? 'dylib' : 'so';
  return () => link(join(build, `liblargeforge_cpu.${extension}`), objects, linkFlags);
}

/** The program that measures what the kernels are compared with: compiled for every level, as they are. */
function planRoofline() {
  const native = join(root, 'plugins/backend-cpu/native');
  const build = dirname(output('plugins/backend-cpu/library'));
  const folder = join(native, 'roofline');
  const includes = [native, abi, command, join(build, 'generated')];
  const objects = levels.map((level) =>
    object(build, join(folder, 'limits.cpp'), `limits.${level.name}`, includes, levelFlags(level)),
  );
  objects.push(object(build, join(folder, 'main.cpp'), 'roofline_main', includes, []));
  return () => link(join(build, 'roofline'), objects, ['-pthread', ...linkFlags.filter((flag) => flag !== '-shared')]);
}

/** What both GPU backends are made of, but for the kernels of the device. */
function planGpuRuntime(build, version) {
  const gpu = join(root, 'engine/native/gpu');
  const includes = [join(gpu, 'runtime'), abi, command];
  const flags = [`-DLF_BACKEND_VERSION="${version}"`];
  return [
    ...['runtime', 'ops'].flatMap((part) =>
      sources(join(gpu, part)).map((name) =>
        object(build, join(gpu, part, name), `${part}_${name.slice(0, -4)}`, includes, flags),
      ),
    ),
    ...sources(command).map((name) =>
      object(build, join(command, name), `command_${name.slice(0, -4)}`, [command, abi], []),
    ),
  ];
}

/**
 * A GPU backend's library, and one whose kernels are the emulator's. The first carries the image that `npm run build:cuda`
 * or `build:rocm` made, when there is one: without it, it loads and says what is missing.
 */
function planGpuBackend(vendor, runtime, emulated) {
  const native = join(root, `plugins/backend-${vendor}/native`);
  const build = dirname(output(`plugins/backend-${vendor}/library`));
  const includes = [join(root, 'engine/native/gpu/runtime'), abi, command];
  const driver = object(build, join(native, 'driver.cpp'), 'driver', includes, []);
  const image = join(root, `plugins/backend-${vendor}/build/kernels.image`);
  const carrier = object(build, join(root, 'engine/native/gpu/runtime/image/carrier.cpp'), 'carrier', includes, [
    ...(existsSync(image)
      ? [
          `-DLF_GPU_IMAGE="${here(image)}"`,
          `-DLF_GPU_IMAGE_STAMP="${createHash('sha256').update(readFileSync(image)).digest('hex')}"`,
        ]
      : []),
  ]);
  const steps = [() => link(join(build, `liblargeforge_${vendor}.so`), [...runtime, driver, carrier], linkFlags)];
  if (emulated) {
    const substitute = object(
      build,
      join(root, 'engine/native/gpu/emulation/image/image.cpp'),
      'emulated_image',
      includes,
      [],
    );
    steps.push(() =>
      link(join(build, `liblargeforge_${vendor}_emulated.so`), [...runtime, driver, substitute], linkFlags),
    );
  }
  return steps;
}

/** The fake driver: the emulator, and every kernel compiled for each of the devices that it stands for. */
function planEmulator() {
  const gpu = join(root, 'engine/native/gpu');
  const build = dirname(output('engine/emulator'));
  const objects = sources(join(gpu, 'emulation')).map((name) =>
    object(build, join(gpu, 'emulation', name), `emulation_${name.slice(0, -4)}`, [abi], []),
  );
  const kernels = readdirSync(join(gpu, 'kernels'))
    .filter((name) => name.endsWith('.cu'))
    .sort();
  for (const target of [80, 90, 10]) {
    const flags = [
      '-x',
      'c++',
      '-O2',
      '-Wno-unknown-pragmas',
      '-DLF_EMULATED',
      `-DLF_EMULATED_TARGET=${target}`,
      `-Dlf_gpu=lf_gpu_${target}`,
    ];
    for (const name of kernels)
      objects.push(object(build, join(gpu, 'kernels', name), `kernel_${name.slice(0, -3)}.${target}`, [abi], flags));
  }
  const driver = objects.filter(({ path }) => basename(path).startsWith('emulation_'));
  const programFlags = ['-pthread', ...linkFlags.filter((flag) => flag !== '-shared')];
  // Kernels with a bug each, which the emulator must catch.
  const bugs = [80, 90].map((target) => {
    const source = join(gpu, 'emulation/tests/seeded_bugs.cpp');
    const flags = [
      '-O1',
      '-Wno-unknown-pragmas',
      '-DLF_EMULATED',
      `-DLF_EMULATED_TARGET=${target}`,
      '-Dlf_gpu=lf_gpu_bugs',
    ];
    const program = object(build, source, `seeded_bugs.${target}`, [abi], flags);
    return () => link(join(build, `seeded_bugs_${target}`), [...driver, program], programFlags);
  });
  return [() => link(join(build, 'libfake_gpu_driver.so'), objects, linkFlags), ...bugs];
}

function planGpu() {
  const emulated = process.argv.includes('--conformance');
  const { version } = JSON.parse(readFileSync(join(root, 'plugins/backend-cuda/package.json'), 'utf8'));
  const runtime = planGpuRuntime(dirname(output('engine/gpu')), version);
  const steps = ['cuda', 'rocm'].flatMap((vendor) => planGpuBackend(vendor, runtime, emulated));
  return emulated ? [...steps, ...planEmulator()] : steps;
}

function planBinding() {
  const build = dirname(output('engine/binding'));
  const headers = join(dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json')), 'include');
  const objects = sources(join(root, 'engine/native/binding')).map((name) =>
    object(build, join(root, 'engine/native/binding', name), `binding_${name.slice(0, -4)}`, [abi, headers], []),
  );
  const flags = process.platform === 'darwin' ? [...linkFlags, '-undefined', 'dynamic_lookup'] : linkFlags;
  return () => link(join(build, 'binding.node'), objects, flags);
}

/** The runner, and the program that tests the GPU runtime on the emulator with the kit. */
function planConformance() {
  const build = dirname(output('engine/conformance'));
  const folder = join(root, 'engine/native/conformance');
  const programFlags = ['-pthread', ...linkFlags.filter((flag) => flag !== '-shared')];
  const objects = ['', 'cases', 'reference'].flatMap((part) =>
    sources(join(folder, part)).map((name) =>
      object(build, join(folder, part, name), `conformance_${part}_${name.slice(0, -4)}`, [folder, abi], []),
    ),
  );
  const runtimeTest = join(root, 'engine/native/gpu/emulation/tests/runtime.cpp');
  const runtime = object(build, runtimeTest, 'emulated_runtime', [folder, abi], []);
  const shared = objects.filter(({ path }) => basename(path) !== 'conformance__main.o');
  return async () => {
    await link(join(build, 'conformance'), objects, programFlags);
    await link(join(build, 'emulated_runtime'), [...shared, runtime], programFlags);
  };
}

const links = [
  planBackend(),
  planRoofline(),
  planBinding(),
  ...(process.platform === 'linux' ? planGpu() : []),
  ...(process.argv.includes('--conformance') ? [planConformance()] : []),
];
const stale = jobs.filter((job) => !upToDate(job.path, job.stamp));
if (stale.length > 0) process.stderr.write(`Compiling ${stale.length} native files with ${compiler} ...\n`);
await inParallel(stale.map((job) => () => compile(job.path, job.args, job.stamp)));
if (failures.length === 0) for (const step of links) await step();
if (failures.length > 0) {
  process.stderr.write(`The native build failed: ${failures.map((path) => basename(path)).join(', ')}\n`);
  process.exit(1);
}
