import { describe } from 'vitest';
import { equalsCpu } from './emulated-gpu.fixture.js';

describe('the emulated cuda backend', () => equalsCpu('cuda'));
