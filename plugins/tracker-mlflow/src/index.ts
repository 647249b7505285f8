import { definePlugin, secret } from '@largeforge/core';
import { z } from 'zod';
import { type MlflowAccess, MlflowClient } from './client.js';
import { mlflowErrors } from './errors.js';
import { mlflowTracker } from './tracker.js';

export default definePlugin({
  name: '@largeforge/tracker-mlflow',
  version: '0.1.0',
  apiVersion: 1,
  options: z.strictObject({
    trackingUri: z.url().optional().describe('of the server; the variable MLFLOW_TRACKING_URI unless given'),
    experiment: z.string().min(1).default('largeforge').describe('made when the server has none of this name'),
    token: secret(z.string().min(1)).optional().describe('MLFLOW_TRACKING_TOKEN unless given'),
  }),
  setup({ registries }, { trackingUri, experiment, token }) {
    registries.tracker.add('mlflow', {
      describe: 'Runs of an MLflow server',
      load: () => {
        const server = trackingUri ?? process.env.MLFLOW_TRACKING_URI;
        if (server === undefined) throw mlflowErrors.LF_MLFLOW_NO_SERVER();
        return mlflowTracker(new MlflowClient(server, accessOf(token)), experiment);
      },
    });
  },
});

/** As MLflow's own client finds it. */
function accessOf(given: string | undefined): MlflowAccess {
  const { MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD } = process.env;
  const token = given ?? MLFLOW_TRACKING_TOKEN;
  if (token !== undefined) return { token };
  if (MLFLOW_TRACKING_USERNAME === undefined) return undefined;
  return { username: MLFLOW_TRACKING_USERNAME, password: MLFLOW_TRACKING_PASSWORD ?? '' };
}
