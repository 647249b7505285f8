import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Application } from '../application/application.js';
import type { StepRequest } from '../application/command-context.js';
import type { Plugin } from '../application/context.js';
import type { RunEvent, RunEventOf, RunEventType } from '../events/events.js';
import type { Firing, HookDefinition } from '../kernel/hook-definition.js';
import type { LifecycleRegistries } from '../lifecycle/registries.js';
import type { LifecycleHooks } from '../lifecycle/stages.js';
import type { PipelineOptions, PipelineOutcome } from '../pipeline/run.js';
import { fakesPlugin, standIns } from './stand-ins.js';

type Stages = LifecycleHooks;

/** `train.plan`, `evaluate.gate` ... */
export type HookName = { [S in keyof Stages & string]: `${S}.${keyof Stages[S] & string}` }[keyof Stages & string];

type DefinitionOf<Name extends HookName> = Name extends `${infer S}.${infer H}`
  ? S extends keyof Stages
    ? H extends keyof Stages[S]
      ? Stages[S][H]
      : never
    : never
  : never;

/** What a hook carries. */
export type HookValue<Name extends HookName> =
  DefinitionOf<Name> extends HookDefinition<infer _Kind, infer Value, infer _Answer> ? Value : never;

/** What firing a hook gives: the last value of a waterfall, the first answer of a bail hook, or nothing. */
export type HookResult<Name extends HookName> = Awaited<ReturnType<Firing<DefinitionOf<Name>>['fire']>>;

export interface PluginTestOptions {
  /** The plugin's options, as the config would have them. */
  readonly options?: Record<string, unknown>;
  /** The rest of the config: backend, pipeline, log ... */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Other real plugins. Required ones that are not given are stood in for by empty ones. */
  readonly plugins?: readonly (Plugin | readonly [Plugin, Record<string, unknown>])[];
  /** Fakes of services that other plugins would provide. */
  readonly services?: Readonly<Record<string, unknown>>;
  /** Fakes of registry entries that other plugins would add: `{backend: {cpu: {id: 'cpu', library: '...'}}}`. */
  readonly registries?: { readonly [Name in keyof LifecycleRegistries]?: Readonly<Record<string, unknown>> };
  /** Files to put into the test's folder: path -> content. */
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: NodeJS.ProcessEnv;
}

/** What a plugin has added in its setup. */
export interface Registered {
  /** `trainer` -> ids. */
  readonly registries: Readonly<Record<string, readonly string[]>>;
  readonly services: readonly string[];
  readonly commands: readonly string[];
  /** Hooks that it taps. */
  readonly hooks: readonly string[];
}

/** One plugin that is set up without the rest of LargeForge, in a folder of its own. */
export class PluginTest {
  /** Every event so far. */
  readonly events: RunEvent[] = [];

  private constructor(
    readonly plugin: Plugin,
    /** Where relative paths start; removed by dispose(). */
    readonly folder: string,
    readonly application: Application,
    private readonly lines: string[],
    private readonly controller: AbortController,
  ) {
    application.events.on((event) => this.events.push(event));
  }

  static async start(plugin: Plugin, options: PluginTestOptions = {}): Promise<PluginTest> {
    const folder = mkdtempSync(join(tmpdir(), 'largeforge-test-'));
    const lines: string[] = [];
    const controller = new AbortController();
    try {
      for (const [path, content] of Object.entries(options.files ?? {})) {
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        writeFileSync(join(folder, path), content);
      }
      const others = options.plugins ?? [];
      const given = [plugin, ...others.map((other) => (Array.isArray(other) ? other[0] : other) as Plugin)];
      const fakes = fakesPlugin(options.services ?? {}, options.registries ?? {});
      const plugins = [...standIns(given), fakes, ...others, [plugin, options.options ?? {}]];
      const application = await Application.boot({
        cwd: folder,
        env: options.env ?? {},
        builtIn: { ...options.config, plugins },
        signal: controller.signal,
        logFormat: 'json',
        logTo: { write: (line: string) => lines.push(line) },
      });
      return new PluginTest(plugin, folder, application, lines, controller);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** What the plugin has added. */
  get registered(): Registered {
    const { kernel, ownedCommands } = this.application;
    const { name } = this.plugin;
    const own = (each: { readonly plugin: string }) => each.plugin === name;
    const registries = kernel
      .describeRegistries()
      .map((registry) => [registry.name, registry.entries.filter(own).map(({ id }) => id)] as const)
      .filter(([, ids]) => ids.length > 0);
    return {
      registries: Object.fromEntries(registries),
      services: kernel.services
        .describe()
        .filter(own)
        .map(({ key }) => key),
      commands: ownedCommands.filter(own).map(({ command }) => command.name),
      hooks: kernel
        .describeHooks()
        .filter(({ taps }) => taps.some(own))
        .map((hook) => hook.name),
    };
  }

  /** The log so far, as JSON entries. */
  get log(): Record<string, unknown>[] {
    return this.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  eventsOf<Type extends RunEventType>(type: Type): RunEventOf<Type>[] {
    return this.events.filter((event) => event.type === type) as RunEventOf<Type>[];
  }

  /** Fires a hook as the pipeline would. */
  async fire<Name extends HookName>(name: Name, value: HookValue<Name>): Promise<HookResult<Name>> {
    const [stage, hook] = name.split('.') as [keyof Stages, string];
    const stages = this.application.kernel.hooks as unknown as Record<
      string,
      Record<string, { fire(v: unknown): unknown }>
    >;
    return (await stages[stage]![hook]!.fire(value)) as HookResult<Name>;
  }

  /** Loads an entry of a registry. */
  get<Name extends keyof LifecycleRegistries>(registry: Name, id: string): Promise<LifecycleRegistries[Name]> {
    return this.application.kernel.registry(registry).get(id);
  }

  /** Runs one step with the stage's hooks around it; resolves with its outputs. */
  async runStep(
    step: Omit<StepRequest, 'name'> & { readonly name?: string },
    options?: PipelineOptions,
  ): Promise<Readonly<Record<string, unknown>>> {
    const named = { name: 'step', ...step };
    const { outputs } = await this.application.commandContext().runSteps([named], options);
    return outputs.get(named.name)!;
  }

  /** Runs the `pipeline` of the test's config. */
  runPipeline(options?: PipelineOptions): Promise<PipelineOutcome> {
    return this.application.runPipeline(options);
  }

  /** What the first Ctrl-C does. */
  interrupt(): void {
    this.controller.abort(new DOMException('interrupted by the test', 'AbortError'));
  }

  /** Shuts the plugin down and removes the folder; rejects with what its disposers threw. */
  async dispose(): Promise<void> {
    try {
      await this.application.close();
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Sets one plugin up without the rest of LargeForge. */
export function testPlugin(plugin: Plugin, options?: PluginTestOptions): Promise<PluginTest> {
  return PluginTest.start(plugin, options);
}
