/** What a plugin tells of its subject. */
export interface Finding {
  /** Of the report's line, such as `model cache`. */
  readonly label: string;
  /** One or more lines for people. */
  readonly lines: readonly string[];
  /** The same for programs (`largeforge doctor --json`): plain JSON values. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly problems?: readonly Problem[];
}

/** What keeps LargeForge from working, or will soon, and what to do about it. */
export interface Problem {
  readonly what: string;
  readonly remedy: string;
}

/** An entry of the registry `diagnosis`: `largeforge doctor` asks it what this machine has of its plugin's subject. */
export interface Diagnosis {
  /** Must be quick. What it throws is told in its place. */
  inspect(environment: NodeJS.ProcessEnv): Finding | Promise<Finding>;
}
