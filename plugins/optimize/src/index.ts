export {
  type CalibrationSettings,
  type CalibrationSource,
  calibrationFiles,
  calibrationOptions,
} from './calibration/options.js';
export { readCalibrationText } from './calibration/text.js';
export {
  type CalibrationTokens,
  calibrationWindows,
  checkCalibration,
  comparedWindows,
} from './calibration/windows.js';
export { optimizeErrors } from './errors.js';
export { type GateCheck, gateChecks } from './gate/checks.js';
export { type Comparison, compare, type Observation, observe } from './gate/compare.js';
export { gateFlags, withGate } from './gate/flags.js';
export { comparesText, type GateOptions, gateFiles, gateOptions } from './gate/options.js';
export { compareScores, gateScores, type TaskComparison } from './gate/tasks.js';
export { StagedModel } from './output.js';
export { ranked } from './ranked.js';
export { finish, type LayerReport, type OptimizationReport, peakMemory, type Sizes } from './report/report.js';
