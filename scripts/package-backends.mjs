/**
 * `npm run package:backends`: the native code that was built, as npm packages for this platform: one a backend, such as
 * @largeforge/backend-cpu-linux-x64. They hold files and a manifest, and run nothing when they are installed; the plugin of
 * the same name finds them. A GPU backend is packaged once `npm run build:cuda` or `build:rocm` gave it device code.
 *
 *   node scripts/package-backends.mjs [FOLDER]    (prebuilt)
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from './setup.mjs';

const folder = process.argv[2] ?? join(root, 'prebuilt');
const extension = process.platform === 'darwin' ? 'dylib' : 'so';
const backends = [
  { name: 'backend-cpu', files: [`liblargeforge_cpu.${extension}`, 'roofline'], needs: [] },
  { name: 'backend-cuda', files: ['liblargeforge_cuda.so'], needs: ['kernels.image'] },
  { name: 'backend-rocm', files: ['liblargeforge_rocm.so'], needs: ['kernels.image'] },
];

for (const { name, files, needs } of backends) {
  const build = join(root, 'plugins', name, 'build');
  const missing = [...files, ...needs].filter((file) => !existsSync(join(build, file)));
  if (missing.length > 0) {
    process.stdout.write(`${name}: not packaged (not built: ${missing.join(', ')})\n`);
    continue;
  }
  const plugin = JSON.parse(readFileSync(join(root, 'plugins', name, 'package.json'), 'utf8'));
  const target = `@largeforge/${name}-${process.platform}-${process.arch}`;
  const at = join(folder, target);
  rmSync(at, { recursive: true, force: true });
  mkdirSync(at, { recursive: true });
  for (const file of files) copyFileSync(join(build, file), join(at, basename(file)));
  const manifest = {
    name: target,
    version: plugin.version,
    description: `${plugin.description} Native code for ${process.platform} on ${process.arch}.`,
    license: plugin.license,
    os: [process.platform],
    cpu: [process.arch],
    files,
  };
  writeFileSync(join(at, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  process.stdout.write(`${target} ${plugin.version}: ${at}\n`);
}
