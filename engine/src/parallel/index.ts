export { GroupMember, groupDevices } from './device-group.js';
export { loadTensorParallel, loadTensorParallelFiles } from './tensor-parallel.js';
