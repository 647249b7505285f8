import { describe } from 'vitest';
import { equalsOneDevice } from './emulated-gpus.fixture.js';

describe('two emulated devices of rocm', () => equalsOneDevice('rocm'));
