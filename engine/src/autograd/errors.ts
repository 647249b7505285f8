import { defineEngineErrors } from '../errors.js';

export const autogradErrors = defineEngineErrors({
  GRADIENT_SHAPE: {
    message: ({ tensor, gradient }: { tensor: string; gradient: string }) =>
      `a gradient ${gradient} was given for a tensor ${tensor}`,
    remedy: () => 'A gradient has as many elements as the tensor that it belongs to.',
  },
  NOT_DIFFERENTIABLE: {
    message: ({ operation, reason }: { operation: string; reason: string }) =>
      `${operation} has no gradient: ${reason}`,
    remedy: () => 'Run it without a tape, or on tensors that need no gradient.',
  },
});
