import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.js';

/** The two-way checks against the Python ecosystem, and the tests on larger data. One file after the other. */
const config = mergeConfig(
  base,
  defineConfig({ test: { testTimeout: 600_000, hookTimeout: 900_000, fileParallelism: false } }),
);
config.test!.include = ['test/interop/**/*.test.ts'];
config.test!.exclude = ['**/node_modules/**', '**/dist/**'];

export default config;
