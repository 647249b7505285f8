export { checkpoint, type Replayable } from './checkpoint.js';
export { RandomKeys } from './random.js';
export { currentTape, type Gradients, Tape, type TapeEntry, withoutTape, withTape } from './tape.js';
