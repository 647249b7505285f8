/** The config as the hooks of its stage see it. Secrets are in it: a tap must not print it. */
export type ConfigValues = Readonly<Record<string, unknown>>;

export interface ConfigChange {
  /** Paths of the values that changed and hold now, such as `plugins[2][1].limits.queue`. */
  readonly paths: readonly string[];
  /** Paths that changed in the file and take effect after a restart. */
  readonly restart: readonly string[];
  readonly config: ConfigValues;
}
