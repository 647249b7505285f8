import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const plugins = readdirSync(source('plugins'));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@largeforge\/core\/testing$/, replacement: source('core/src/testing/index.ts') },
      { find: /^@largeforge\/trainer\/testing$/, replacement: source('plugins/trainer/src/testing/index.ts') },
      { find: /^@largeforge\/core$/, replacement: source('core/src/index.ts') },
      { find: /^@largeforge\/engine$/, replacement: source('engine/src/index.ts') },
      ...plugins.map((name) => ({
        find: new RegExp(`^@largeforge/${name}$`),
        replacement: source(`plugins/${name}/src/index.ts`),
      })),
    ],
  },
  test: {
    include: [
      'core/**/*.test.ts',
      'engine/**/*.test.ts',
      'plugins/**/*.test.ts',
      'examples/**/*.test.ts',
      'test/**/*.test.ts',
    ],
    exclude: ['**/node_modules/**', '**/dist/**', 'test/interop/**', 'test/faults/**'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    coverage: {
      provider: 'v8',
      include: ['core/src/**', 'engine/src/**', 'plugins/*/src/**'],
      exclude: ['**/*.test.ts', '**/*.fixture.ts'],
      reporter: ['text-summary', 'json-summary'],
    },
  },
});
