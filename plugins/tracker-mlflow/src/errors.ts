import { defineErrors } from '@largeforge/core';

/** What can go wrong between a run and its MLflow server. */
export const mlflowErrors = defineErrors({
  LF_MLFLOW_NO_SERVER: {
    message: () => 'no MLflow server is named',
    remedy: () => "set trackingUri of the plugin '@largeforge/tracker-mlflow', or the variable MLFLOW_TRACKING_URI",
  },
  LF_MLFLOW_REQUEST: {
    message: (a: { url: string; reason: string }) => `${a.url} answered: ${a.reason}`,
    remedy: () =>
      'look whether the server runs at this address and may be written to (MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD)',
  },
});
