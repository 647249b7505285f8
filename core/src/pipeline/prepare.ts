import type { PluginContext } from '../application/context.js';
import { parseNode } from '../config/parse.js';
import { type ConfigPath, formatPath } from '../config/path.js';
import type { PipelineStep } from '../config/schema.js';
import { formatSource } from '../config/source.js';
import { type ConfigNode, childOf } from '../config/tree.js';
import type { LoadedPlugin } from '../kernel/plugin.js';
import { type StageName, stageRegistry } from '../lifecycle/registries.js';
import type { AnyStepRunner } from '../lifecycle/step-runner.js';
import { checkReferences, type EarlierStep, type WithPlace } from './references.js';
import type { PipelineRun } from './run.js';

/** A step whose runner is found and whose options are checked as far as they can be before anything runs. */
export interface PreparedStep {
  readonly name: string;
  readonly stage: StageName;
  readonly use: string;
  readonly index: number;
  readonly place: WithPlace;
  /** As the schema gave them, with references in place of what they stand for; undefined where these do not fit it. */
  readonly options: unknown;
  readonly runner: AnyStepRunner<StageName>;
  /** The plugin that registered the runner. */
  readonly owner: LoadedPlugin<PluginContext>;
}

/** Checks a whole pipeline: every runner is there, every option fits, every reference names an earlier step. */
export async function prepareSteps(run: PipelineRun): Promise<PreparedStep[]> {
  const names = run.steps.map((step) => step.name);
  const earlier: EarlierStep[] = [];
  const prepared: PreparedStep[] = [];
  for (const [index, step] of run.steps.entries()) {
    const ready = await findRunner(run, step, index);
    const unknown = checkReferences(ready.place, earlier, names);
    const options = parseWith(run, ready, ready.place.node, (path) => touches(path, unknown));
    prepared.push({ ...ready, options });
    earlier.push({ name: step.name, outputs: ready.runner.outputs });
  }
  return prepared;
}

async function findRunner(run: PipelineRun, step: PipelineStep, index: number): Promise<Omit<PreparedStep, 'options'>> {
  const node = run.nodes[index]!;
  const { cwd } = run.config;
  const registry = run.kernel.registry(stageRegistry[step.stage]);
  const useNode = childOf(node, 'use');
  const where = run.located && useNode ? `${formatSource(useNode.source, cwd)}: pipeline[${index}].use` : undefined;
  const runner = (await registry.get(step.use, where)) as AnyStepRunner<StageName>;
  const label = run.located ? `pipeline[${index}] (${step.use}).with` : step.use;
  const withNode: ConfigNode = childOf(node, 'with') ?? { kind: 'map', source: node.source, entries: new Map() };
  const owner = run.kernel.plugins.find(({ plugin }) => plugin.name === registry.ownerOf(step.use))!;
  const { name, stage, use } = step;
  return { name, stage, use, index, runner, owner, place: { node: withNode, label, cwd, located: run.located } };
}

/** The options of a step by its runner's schema; undefined when only ignored places are wrong. */
export function parseWith(
  run: PipelineRun,
  { runner, place }: Pick<PreparedStep, 'runner' | 'place'>,
  node: ConfigNode,
  ignore?: (path: ConfigPath) => boolean,
): unknown {
  const { label, cwd, located } = place;
  return parseNode(runner.options, node, { label, cwd, located, secrets: run.config.secrets, ignore });
}

/** Whether an issue is about a value that has a reference, or about one that holds or is held by such a value. */
function touches(path: ConfigPath, unknown: ReadonlySet<string>): boolean {
  const text = path.length === 0 ? '' : formatPath(path);
  const within = (inner: string, outer: string) =>
    inner === outer || outer === '' || (inner.startsWith(outer) && /^[.[]/.test(inner.slice(outer.length)));
  return [...unknown].some((other) => within(other, text) || within(text, other));
}
