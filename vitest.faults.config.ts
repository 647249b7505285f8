import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.js';

/** Long runs with random faults; `npm test` has a small part of them with fixed seeds. */
const config = mergeConfig(base, defineConfig({ test: { testTimeout: 3_600_000, fileParallelism: false } }));
config.test!.include = ['test/faults/**/*.test.ts'];
config.test!.exclude = ['**/node_modules/**', '**/dist/**'];

export default config;
