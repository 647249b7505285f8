export { Linear, type LinearAdapter, type LinearCall } from './linear.js';
export { Parameter, type WeightSource } from './parameter.js';
