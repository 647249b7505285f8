import type { FiringHooks } from '../kernel/hook-definition.js';
import type { StepPlan, StepResult } from '../lifecycle/plan-contract.js';
import type { StageName } from '../lifecycle/registries.js';
import type { LifecycleHooks, Refusal } from '../lifecycle/stages.js';
import { pipelineErrors } from './errors.js';

type Hooks = FiringHooks<LifecycleHooks>;
type Outputs = Readonly<Record<string, unknown>>;

/** Runs the chosen runner; a plan whose options a tap changed is checked first. */
export type Execute = (plan: StepPlan) => Promise<Outputs>;

/** Fires a stage's hooks around what runs. Hooks that happen within a run (train.step, serve.request) are the runner's. */
type StageDriver = (hooks: Hooks, plan: StepPlan, execute: Execute) => Promise<Outputs>;

export const stageDrivers: Readonly<Record<StageName, StageDriver>> = {
  async data({ data }, initial, execute) {
    const plan = await data.plan.fire(initial);
    const outputs = await execute(plan);
    await data.ready.fire({ plan, outputs });
    return outputs;
  },

  async train({ train }, initial, execute) {
    const plan = await train.plan.fire(initial);
    await train.before.fire(plan);
    const outputs = await execute(plan);
    await train.after.fire({ plan, outputs });
    return outputs;
  },

  async optimize({ optimize }, initial, execute) {
    const plan = await optimize.plan.fire(initial);
    await optimize.before.fire(plan);
    const result: StepResult = { plan, outputs: await execute(plan) };
    await optimize.after.fire(result);
    const refusal = await optimize.verify.fire(result);
    if (refusal) throw refused(plan, 'optimize.verify', refusal.plugin, refusal.answer);
    return result.outputs;
  },

  /** The report is written whatever the gate says: the figures of a refused model are what one wants to read. */
  async evaluate({ evaluate }, initial, execute) {
    const plan = await evaluate.plan.fire(initial);
    const result: StepResult = { plan, outputs: await execute(plan) };
    const refusal = await evaluate.gate.fire(result);
    await evaluate.report.fire({ ...result, refusal: refusal?.answer });
    if (refusal) throw refused(plan, 'evaluate.gate', refusal.plugin, refusal.answer);
    return result.outputs;
  },

  /** The server itself fires serve.configure, when it exists and does not listen yet. */
  serve: (_hooks, plan, execute) => execute(plan),
};

function refused(plan: StepPlan, hook: string, plugin: string, { reason, remedy }: Refusal): Error {
  return pipelineErrors.LF_STEP_REFUSED({ step: plan.step, hook, plugin, reason, remedy });
}
