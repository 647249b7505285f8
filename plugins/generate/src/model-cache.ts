import type { Diagnosis } from '@largeforge/core';
import { hubCacheFolder, modelsInHubCache } from '@largeforge/engine';

/** What `largeforge doctor` tells of the models that can be used by name. */
export const modelCache: Diagnosis = {
  inspect(environment) {
    const path = hubCacheFolder(environment);
    const models = modelsInHubCache(environment);
    const count =
      models === undefined ? 'no such folder' : `${models.length} ${models.length === 1 ? 'model' : 'models'}`;
    return {
      label: 'model cache',
      lines: [`${path} (${count})`],
      facts: { path, exists: models !== undefined, models: models ?? [] },
    };
  },
};
