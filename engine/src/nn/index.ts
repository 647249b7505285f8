export { heldSource, Parameter, type WeightSource } from './parameter.js';
