export { checkTrainer } from './check.js';
export { stepOptions, type TrainCommand, trainCommand } from './command.js';
export { type FineTuning, fineTune, trainerOutputs } from './fine-tune.js';
export type { LearningRates } from './loop-options.js';
export { checkTrainerOptions, type TrainerOptions, trainerOptions } from './options.js';
