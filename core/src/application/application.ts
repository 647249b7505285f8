import { resolve } from 'node:path';
import type { CommandDefinition } from '../cli/command.js';
import { type ConfigEntry, describeConfig } from '../config/describe.js';
import { configJsonSchema, type StepSchema } from '../config/json-schema.js';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.js';
import { markSecrets } from '../config/parse.js';
import { ConfigReloader } from '../config/reload.js';
import { type PipelineStep, stageNames } from '../config/schema.js';
import { type ConfigNode, fromValue, nodeAt } from '../config/tree.js';
import { EventBus } from '../events/events.js';
import { Kernel } from '../kernel/kernel.js';
import type { BaseContext, Logger } from '../kernel/plugin.js';
import { Tracer } from '../kernel/trace.js';
import { type LifecycleRegistries, registryNames, stageRegistry } from '../lifecycle/registries.js';
import { type LifecycleHooks, lifecycleHooks } from '../lifecycle/stages.js';
import { Log, type LogDestination } from '../log/log.js';
import { runPipeline } from '../pipeline/pipeline.js';
import type { PipelineOptions, PipelineOutcome } from '../pipeline/run.js';
import type { CommandContext, StepRequest } from './command-context.js';
import type { Plugin, PluginContext } from './context.js';
import { type ConfiguredPlugin, installedPlugins, loadPlugins, type PluginModules } from './plugin-loader.js';
import { resolveConfig } from './resolve-config.js';

export interface ApplicationOptions extends LoadOptions {
  /** Overrides of the config's `log`. */
  readonly logLevel?: string;
  readonly logFormat?: 'auto' | 'pretty' | 'json';
  /** Where the log goes; standard error unless given. */
  readonly logTo?: LogDestination;
  readonly color?: boolean;
  /** Gets a Chrome trace when the application is closed. */
  readonly traceFile?: string;
  /** Asks all work to end, such as the first Ctrl-C. */
  readonly signal?: AbortSignal;
  /** Plugins that are there without being listed, before those of the config: the program's own. */
  readonly ownPlugins?: readonly Plugin[];
  /** Modules that stand in for packages that the config lists. */
  readonly modules?: PluginModules;
  /** How long one plugin's setup may take; 30 unless given. */
  readonly setupSeconds?: number;
}

/** The config when there is no file: every first-party plugin that is installed. */
export function builtInConfig(): Record<string, unknown> {
  return { plugins: installedPlugins() };
}

type LifecycleKernel = Kernel<LifecycleHooks, LifecycleRegistries, PluginContext>;

/** A command, and the plugin that adds it. */
export interface OwnedCommand {
  readonly plugin: string;
  readonly command: CommandDefinition<CommandContext>;
}

/** A booted LargeForge: a checked config, its plugins set up in a kernel, commands, events and log. */
export class Application {
  readonly events: EventBus;
  readonly commands: readonly CommandDefinition<CommandContext>[];
  private closed: Promise<void> | undefined;

  private constructor(
    readonly kernel: LifecycleKernel,
    /** Who adds which command. */
    readonly ownedCommands: readonly OwnedCommand[],
    private readonly program: Log,
    private readonly reloader: ConfigReloader,
    private readonly tracer: Tracer | undefined,
    private readonly options: ApplicationOptions,
    events: EventBus,
  ) {
    this.events = events;
    this.commands = ownedCommands.map(({ command }) => command);
  }

  /** Reads the config, loads its plugins and sets them up. Errors name the place in the config. */
  static async boot(options: ApplicationOptions = {}): Promise<Application> {
    const load: LoadOptions = { ...options, builtIn: options.builtIn ?? builtInConfig() };
    const tracer = options.traceFile === undefined ? undefined : new Tracer();
    const endBoot = tracer?.begin('boot', 'boot');
    const config = await loadConfig(load);
    const { level, format } = config.root.log;
    const events = new EventBus((error, event) => {
      // A listener that fails at log lines would be told of its own failure for ever.
      if (event.type !== 'log') log.logger.error({ err: error }, `a listener of ${event.type} events failed`);
    });
    const log = new Log({
      level: options.logLevel ?? level,
      format: options.logFormat ?? format,
      destination: options.logTo,
      color: options.color,
      secrets: config.secrets,
      events,
    });
    try {
      const own = (options.ownPlugins ?? []).map((plugin) => ({
        plugin,
        options: plugin.options.parse({}),
        where: '',
      }));
      const plugins: ConfiguredPlugin[] = [...own, ...(await loadPlugins(config, options.modules))];
      const parts = { config, load, log, events, tracer, plugins, options };
      return await Application.assemble(parts);
    } catch (error) {
      try {
        writeTrace(tracer, options);
      } catch {
        // What kept the program from starting is the one to tell.
      }
      throw error;
    } finally {
      endBoot?.();
    }
  }

  private static async assemble(parts: Parts): Promise<Application> {
    const { load, log, events, tracer, plugins, options } = parts;
    let fireChanged: LifecycleKernel['hooks']['config']['changed'] | undefined;
    const reloader = new ConfigReloader({
      config: parts.config,
      load,
      log: log.logger,
      events,
      onChanged: async (change) => fireChanged?.fire(change),
    });
    if (options.logLevel === undefined) {
      reloader.onChange(undefined, ['log', 'level'], (value) => log.setLevel(String(value)));
    }
    for (const { slice } of plugins) if (slice) reloader.addSlice(slice);
    const commands: OwnedCommand[] = [];
    const kernel: LifecycleKernel = await Kernel.boot<LifecycleHooks, LifecycleRegistries, PluginContext>({
      hooks: lifecycleHooks,
      registries: registryNames,
      plugins,
      signal: options.signal,
      tracer,
      setupSeconds: options.setupSeconds,
      extend: (base) => pluginContext(base, parts, reloader, commands),
    });
    fireChanged = kernel.hooks.config.changed;
    const application = new Application(kernel, commands, log, reloader, tracer, options, events);
    try {
      reloader.replace(resolveConfig(reloader.config, await kernel.hooks.config.resolve.fire(reloader.config.raw)));
      await kernel.hooks.config.ready.fire(reloader.config.raw);
      await kernel.hooks.kernel.ready.fire(undefined);
    } catch (error) {
      await application.close().catch(() => {}); // the first failure is the one to tell
      throw error;
    }
    return application;
  }

  /** The config as it holds now. */
  get config(): LoadedConfig {
    return this.reloader.config;
  }

  get log(): Logger {
    return this.program.logger;
  }

  /** Masks every secret of the config in a text that is about to be printed. */
  redact(text: string): string {
    return this.config.secrets.redact(text);
  }

  /** Every value of the config with its source; secrets are masked, also those that only a step's schema knows. */
  async describeConfig(): Promise<ConfigEntry[]> {
    const { root, tree, secrets } = this.config;
    for (const [i, { stage, use }] of root.pipeline.entries()) {
      const registry = this.kernel.registry(stageRegistry[stage]);
      const runner = await registry.load(use).catch(() => undefined);
      const options = nodeAt(tree, ['pipeline', i, 'with']);
      if (runner && options) markSecrets(runner.options, options, secrets);
    }
    return describeConfig(this.config);
  }

  /**
   * The whole config as JSON Schema, with the options of every loaded plugin and of every entry that a step can use.
   * Entries that cannot be loaded here are left out.
   */
  async jsonSchema(): Promise<Readonly<Record<string, unknown>>> {
    const steps: StepSchema[] = [];
    for (const stage of stageNames) {
      const registry = this.kernel.registry(stageRegistry[stage]);
      for (const { id: use, describe } of registry.describe()) {
        const runner = await registry.load(use).catch(() => undefined);
        if (runner) steps.push({ stage, use, describe, options: runner.options });
      }
    }
    const plugins = this.kernel.plugins.filter(({ where }) => where !== '').map(({ plugin }) => plugin);
    return configJsonSchema(plugins, steps);
  }

  /** Follows the config's files until the application is closed: reloadable values change while it runs. */
  watchConfig(): void {
    this.reloader.watch();
  }

  /** Reads the config again now; see ConfigReloader. */
  reloadConfig(): Promise<void> {
    return this.reloader.reload();
  }

  /** Runs the config's pipeline. */
  runPipeline(options: PipelineOptions = {}): Promise<PipelineOutcome> {
    const { config } = this;
    const list = nodeAt(config.tree, ['pipeline']);
    const nodes = list?.kind === 'list' ? list.items : [];
    return this.run(config.root.pipeline, nodes, true, config.baseDir, options);
  }

  /** What a command works with. */
  commandContext(): CommandContext {
    const { config, log, events } = this;
    const cwd = resolve(this.options.cwd ?? process.cwd());
    return {
      application: this,
      config,
      log,
      events,
      signal: this.kernel.signal,
      cwd,
      runSteps: (steps: readonly StepRequest[], options = {}) => {
        const full = steps.map((step) => ({ ...step, with: { ...step.with } }));
        const nodes = full.map((step) => fromValue(step, { layer: 'command line' }));
        return this.run(full, nodes, false, cwd, options);
      },
    };
  }

  /** Shuts every plugin down, the last first, and writes the trace; once. */
  close(): Promise<void> {
    this.closed ??= this.shutDown();
    return this.closed;
  }

  private async shutDown(): Promise<void> {
    this.reloader.close();
    const errors: unknown[] = [];
    await this.kernel.hooks.kernel.shutdown.fire(undefined).catch((error: unknown) => errors.push(error));
    await this.kernel.dispose().catch((error: unknown) => errors.push(error));
    try {
      writeTrace(this.tracer, this.options);
    } catch (error) {
      errors.push(error);
    }
    for (const error of errors.slice(1)) this.log.error({ err: error }, 'shutting down');
    if (errors.length > 0) throw errors[0];
  }

  private run(
    steps: readonly PipelineStep[],
    nodes: readonly ConfigNode[],
    located: boolean,
    baseDir: string,
    options: PipelineOptions,
  ): Promise<PipelineOutcome> {
    const { kernel, events, reloader, tracer, config, program: log } = this;
    return runPipeline({ steps, nodes, located, baseDir, config, kernel, events, log, reloader, tracer, options });
  }
}

/** What a boot has made so far. */
interface Parts {
  readonly config: LoadedConfig;
  readonly load: LoadOptions;
  readonly log: Log;
  readonly events: EventBus;
  readonly tracer: Tracer | undefined;
  readonly plugins: readonly ConfiguredPlugin[];
  readonly options: ApplicationOptions;
}

/** Adds to the kernel's context what LargeForge gives to plugins. */
function pluginContext(
  base: BaseContext<LifecycleHooks, LifecycleRegistries>,
  { log, events }: Parts,
  reloader: ConfigReloader,
  commands: OwnedCommand[],
): PluginContext {
  const { name } = base.plugin;
  const view = reloader.viewOf(name);
  return {
    ...base,
    log: log.child({ plugin: name }),
    events,
    commands: { add: (command) => void commands.push({ plugin: name, command }) },
    config: {
      get baseDir() {
        return reloader.config.baseDir;
      },
      get: view.get,
      reloadable: view.reloadable,
    },
  };
}

function writeTrace(tracer: Tracer | undefined, { traceFile, cwd = process.cwd() }: ApplicationOptions): void {
  if (traceFile !== undefined) tracer?.write(resolve(cwd, traceFile));
}
