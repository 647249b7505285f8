import { describe } from 'vitest';
import { equalsCpu } from './emulated-gpu.fixture.js';

describe('the emulated rocm backend', () => equalsCpu('rocm'));
