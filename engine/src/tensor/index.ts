export { scope, unscoped } from './scope.js';
export { contiguousStrides, describeShape, type HostArray, Tensor } from './tensor.js';
