import { defineErrors } from '@largeforge/core';

/** What can be wrong with a continued pre-training. */
export const pretrainErrors = defineErrors({
  LF_PRETRAIN_LAYERS: {
    message: ({ layer, count }: { layer: number; count: number }) =>
      `trainLayers: there is no layer ${layer}; the model has ${count}`,
    remedy: ({ count }) => `name layers from 0 to ${count - 1}, {last: n} or {first: n} with n up to ${count}`,
  },
});
