import { describe } from 'vitest';
import { equalsOneDevice } from './emulated-gpus.fixture.js';

describe('two emulated devices of cuda', () => equalsOneDevice('cuda'));
