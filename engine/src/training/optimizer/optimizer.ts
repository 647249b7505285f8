import * as commands from '../../device/commands/index.js';
import type { Device } from '../../device/device.js';
import type { Parameter } from '../../nn/parameter.js';
import { unscoped } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import type { OptimizerOptions } from '../options.js';
import { adafactorRule } from './adafactor.js';
import { adamwRule } from './adamw.js';
import { adamw8bitRule, smallest8bit } from './adamw-8bit.js';
import { lionRule } from './lion.js';
import { isMuonMatrix, muonRule } from './muon.js';
import { decays, rateFactor } from './rates.js';
import type { UpdateRule } from './rule.js';

interface Trained {
  readonly parameter: Parameter;
  readonly rule: UpdateRule;
  /** What the step's learning rate is multiplied by. */
  readonly rate: number;
  readonly weightDecay: number;
}

/**
 * Moves the f32 masters of a model's trainable parameters, the gradients clipped by their global norm. Nothing is read
 * back: the norm stays on the device until the loop asks for it.
 */
export class Optimizer implements Disposable {
  private readonly trained = new Map<string, Trained>();
  private readonly sumSquares: Tensor;

  /**
   * @param norm f32 [2] that receives the gradients' norm and the factor that they are scaled with
   * @param layers of the whole model, for rates by layer
   */
  constructor(
    private readonly device: Device,
    parameters: ReadonlyMap<string, Parameter>,
    private readonly options: OptimizerOptions,
    private readonly norm: Tensor,
    layers: number,
  ) {
    this.sumSquares = unscoped(() => Tensor.zeros(device, [1], 'f32', 'persistent'));
    for (const [name, parameter] of parameters) {
      this.trained.set(name, {
        parameter,
        rule: ruleOf(name, parameter, options),
        rate: rateFactor(name, options, layers),
        weightDecay: decays(name, parameter.shape) ? options.weightDecay : 0,
      });
    }
  }

  /** Records the norm of the gradients times `scale`, and what they are to be multiplied by. */
  measure(scale = 1): void {
    const { recorder } = this.device;
    const gradients = [...this.trained.values()].flatMap(({ parameter }) => parameter.grad ?? []);
    for (const [i, gradient] of gradients.entries()) {
      commands.reduce(recorder, 'sumSquares', gradient, this.sumSquares, i > 0);
    }
    if (gradients.length === 0) commands.fill(recorder, 0, this.sumSquares);
    const sizes = { maxNorm: this.options.maxGradNorm, gradScale: scale };
    commands.clipScale(recorder, sizes, { sumSquares: this.sumSquares, out: this.norm });
  }

  /**
   * Records one update, after `measure`.
   * @param step number of the update, from 1, for the bias correction
   */
  step(step: number, learningRate: number): void {
    for (const { parameter, rule, rate, weightDecay } of this.trained.values()) {
      if (!parameter.grad) continue;
      rule.record({ step, learningRate: learningRate * rate, weightDecay, scale: this.norm });
    }
  }

  /** Everything that the next update depends on but for the gradients: masters and moments, by the names of a checkpoint. */
  state(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const [name, { parameter, rule }] of this.trained) {
      state.set(`${name}.master`, parameter.master as Tensor);
      for (const [own, tensor] of rule.state) state.set(`${name}.${own}`, tensor);
    }
    return state;
  }

  dispose(): void {
    this.sumSquares.dispose();
    for (const { rule } of this.trained.values()) rule[Symbol.dispose]();
    this.trained.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function ruleOf(name: string, parameter: Parameter, options: OptimizerOptions): UpdateRule {
  const { type, beta1, epsilon, momentum } = options;
  const beta2 = options.beta2 ?? (type === 'lion' ? 0.99 : 0.999);
  switch (type) {
    case 'lion':
      return lionRule(parameter, { beta1, beta2 });
    case 'adafactor':
      return adafactorRule(parameter);
    case 'adamw_8bit':
      if (parameter.elements >= smallest8bit) return adamw8bitRule(parameter, { beta1, beta2, epsilon });
      break;
    case 'muon':
      if (isMuonMatrix(name, parameter)) return muonRule(parameter, { momentum });
      break;
  }
  return adamwRule(parameter, { beta1, beta2, epsilon });
}
