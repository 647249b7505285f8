import type { CommandDefinition } from '../cli/command.js';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.js';
import { ConfigReloader, type ConfigView } from '../config/reload.js';
import type { PipelineStep } from '../config/schema.js';
import { EventBus } from '../events/events.js';
import { Kernel } from '../kernel/kernel.js';
import type { Logger } from '../kernel/plugin.js';
import { Tracer } from '../kernel/trace.js';
import { registryNames } from '../lifecycle/contracts.js';
import { lifecycleHooks } from '../lifecycle/stages.js';
import { createLogger, type LeveledLogger } from '../log/log.js';
import { type PipelineOptions, type PipelineOutcome, runPipeline } from '../pipeline/pipeline.js';
import type { PluginContext } from './context.js';
import { installedPlugins, loadPlugins } from './plugin-loader.js';

export interface ApplicationOptions extends LoadOptions {
  /** Overrides of `log`. */
  readonly logLevel?: string;
  readonly logFormat?: 'auto' | 'pretty' | 'json';
  readonly traceFile?: string;
  readonly signal?: AbortSignal;
  /** Where the log goes; standard error unless given. */
  readonly logTo?: NodeJS.WritableStream;
}

/** What a command works with. */
export interface CommandContext {
  readonly application: Application;
  readonly config: LoadedConfig;
  readonly log: Logger;
  readonly events: EventBus;
  readonly signal: AbortSignal;
  /** Runs steps as a pipeline of their own, in the folder where the command was given. */
  runSteps(steps: readonly StepRequest[], options?: Partial<PipelineOptions>): Promise<PipelineOutcome>;
}

export type StepRequest = Pick<PipelineStep, 'name' | 'stage' | 'use'> & { with?: Record<string, unknown> };

/** The config when there is no file: every first-party plugin that is installed. */
export function builtInConfig(): Record<string, unknown> {
  return { plugins: installedPlugins() };
}

/** A booted LargeForge: a checked config, its plugins set up in a kernel, commands, events and log. */
export class Application {
  private constructor(
    readonly config: LoadedConfig,
    readonly kernel: Kernel<PluginContext>,
    readonly events: EventBus,
    readonly log: LeveledLogger,
    readonly commands: readonly CommandDefinition<CommandContext>[],
    private readonly reloader: ConfigReloader,
    private readonly tracer: Tracer | undefined,
    private readonly options: ApplicationOptions,
  ) {}

  /** Reads the config, loads its plugins and sets them up. Errors name the place in the config. */
  static async boot(options: ApplicationOptions = {}): Promise<Application> {
    const load = { ...options, builtIn: options.builtIn ?? builtInConfig() };
    const config = await loadConfig(load);
    const log = createLogger({
      level: options.logLevel ?? config.root.log.level,
      format: options.logFormat ?? config.root.log.format,
      destination: options.logTo,
    });
    const events = new EventBus((error) => log.error({ err: error }, 'an event listener failed'));
    const tracer = options.traceFile === undefined ? undefined : new Tracer();
    const plugins = await loadPlugins(config);
    const commands: CommandDefinition<CommandContext>[] = [];
    const reloader = new ConfigReloader(config, load, plugins, log);
    reloader.onChange(['log', 'level'], (level) => log.setLevel(String(level)));
    const view: ConfigView = reloader.view();
    const kernel = await Kernel.boot<PluginContext>({
      lifecycle: { hooks: lifecycleHooks, registries: registryNames },
      plugins,
      log,
      signal: options.signal,
      tracer,
      extend: (base) =>
        ({
          ...base,
          commands: { add: (command) => void commands.push(command) },
          events,
          config: view,
        }) as PluginContext,
    });
    const application = new Application(config, kernel, events, log, commands, reloader, tracer, options);
    reloader.changed = (change) =>
      kernel
        .hook('config.changed')
        .fire(change as never)
        .then(() => {});
    await kernel.hook<Record<string, unknown>>('config.ready').fire(config.raw);
    await kernel.hook<undefined>('kernel.ready').fire(undefined);
    return application;
  }

  /** Follows the config file until the application is closed: reloadable values change while it runs. */
  watchConfig(): void {
    this.reloader.watch();
  }

  /** Runs the config's pipeline. */
  runPipeline(options: Partial<PipelineOptions> = {}): Promise<PipelineOutcome> {
    return this.run(this.config.root.pipeline, this.config.baseDir, (i) => `pipeline[${i}]`, options);
  }

  commandContext(): CommandContext {
    return {
      application: this,
      config: this.config,
      log: this.log,
      events: this.events,
      signal: this.kernel.signal,
      runSteps: (steps, options = {}) => {
        const full = steps.map((step) => ({ with: {}, ...step }));
        return this.run(full, this.options.cwd ?? process.cwd(), () => undefined, { force: true, ...options });
      },
    };
  }

  /** Shuts every plugin down and writes the trace. */
  async close(): Promise<void> {
    this.reloader.close();
    try {
      await this.kernel.hook<undefined>('kernel.shutdown').fire(undefined);
    } finally {
      await this.kernel.dispose();
      if (this.options.traceFile !== undefined) this.tracer?.write(this.options.traceFile);
    }
  }

  private run(
    steps: readonly PipelineStep[],
    baseDir: string,
    where: (index: number) => string | undefined,
    options: Partial<PipelineOptions>,
  ): Promise<PipelineOutcome> {
    return runPipeline({
      steps,
      baseDir,
      where,
      config: this.config,
      kernel: this.kernel,
      events: this.events,
      log: this.log,
      tracer: this.tracer,
      options: { force: false, resume: false, dryRun: false, ...options },
    });
  }
}
