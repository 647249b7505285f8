import type { Device } from '../device/device.js';
import type { FloatDType } from '../device/dtype.js';
import { readModelSource } from '../formats/index.js';
import { architectureOf } from '../models/architectures/index.js';
import type { PackedBatch, PagedBatch } from '../models/batch.js';
import type { DecoderConfig } from '../models/config.js';
import { modelErrors } from '../models/errors.js';
import type { KvCache, KvCacheOptions, KvShape } from '../models/kv-cache.js';
import type { ModelLinears } from '../models/linears.js';
import { asCausal, type LoadOptions } from '../models/load.js';
import type { CausalLanguageModel, ForwardOptions } from '../models/model.js';
import { FileWeights, type WeightFiles } from '../models/weights.js';
import type { Parameter } from '../nn/parameter.js';
import type { Tensor } from '../tensor/tensor.js';
import { groupDevices } from './device-group.js';
import { ShardedCache } from './sharded-cache.js';
import { ShardedWeights } from './sharded-weights.js';
import { checkDivides, shardConfig } from './slices.js';

/**
 * Loads a decoder split among devices of one backend: heads, feed-forwards and vocabulary are shared out, and what the ranks
 * compute is summed twice a layer. It generates and gives hidden states; it is not trained, and takes no adapters. Throws
 * LF_ENGINE_DEVICE_GROUP, LF_ENGINE_TENSOR_PARALLEL, and what `loadModel` does.
 */
export async function loadTensorParallel(
  devices: readonly Device[],
  path: string,
  options: LoadOptions = {},
): Promise<CausalLanguageModel> {
  return loadTensorParallelFiles(devices, readModelSource(path), options);
}

/** The same of files that were read. */
export async function loadTensorParallelFiles(
  devices: readonly Device[],
  files: WeightFiles,
  { dtype = 'bf16', weights: precision }: LoadOptions = {},
): Promise<CausalLanguageModel> {
  const architecture = architectureOf(files.config);
  const config = architecture.parse(files.config);
  if (config.kind !== 'decoder') throw modelErrors.NOT_CAUSAL({ modelType: config.modelType });
  checkDivides(config, devices.length);
  const members = await groupDevices(devices);
  const ranks = members.map((shard) => {
    const { device } = shard;
    const whole = new FileWeights(device, dtype, files, architecture.prefix, precision);
    const weights = new ShardedWeights(device, dtype, whole, config, shard);
    const model = asCausal(architecture.build(device, dtype, shardConfig(config, devices.length), weights));
    whole.check(config.modelType, ['lm_head.weight']);
    return model;
  });
  const model = new TensorParallelModel(config, ranks);
  // Read now, not when it is first needed: drivers may wait for a device when memory is freed, and it for the next one, which
  // has been given nothing yet.
  model.prepare();
  await Promise.all(devices.map((device) => device.flush()));
  return model;
}

/** A decoder on several devices. Its own device is that of the first rank, where all that it returns lies. */
class TensorParallelModel implements CausalLanguageModel {
  readonly kind = 'causal';
  readonly linears: ModelLinears = new Map();
  /** What the other ranks have beside a tensor that was returned. */
  private readonly beside = new WeakMap<Tensor, readonly Tensor[]>();

  constructor(
    readonly config: DecoderConfig,
    private readonly ranks: readonly CausalLanguageModel[],
  ) {}

  private get first(): CausalLanguageModel {
    return this.ranks[0]!;
  }

  private get others(): readonly CausalLanguageModel[] {
    return this.ranks.slice(1);
  }

  get device(): Device {
    return this.first.device;
  }

  get dtype(): FloatDType {
    return this.first.dtype;
  }

  get cacheShape(): KvShape {
    return this.first.cacheShape;
  }

  createCache(options: KvCacheOptions): KvCache {
    const others = this.others.map((rank) => rank.createCache(options));
    return new ShardedCache(this.device, this.cacheShape, options, others);
  }

  parameters(): Map<string, Parameter> {
    return new Map();
  }

  trainableParameters(): Map<string, Parameter> {
    return new Map();
  }

  setTrainable(on: boolean): void {
    if (on) this.unavailable('training');
  }

  zeroGrad(): void {}

  prepare(options?: { backward?: boolean }): void {
    for (const rank of this.ranks) rank.prepare(options);
  }

  hidden(batch: PackedBatch, options?: ForwardOptions): Tensor {
    return this.handOver(this.together((rank) => rank.hidden(batch, options)));
  }

  decode(batch: PagedBatch, cache: KvCache): Tensor {
    const { others } = cache as ShardedCache;
    const parts = this.together((rank, i) => rank.decode(batch, i === 0 ? cache : others[i - 1]!));
    // `logits` asks for them; the caller's scope disposes them with its own.
    this.beside.set(parts[0]!, parts.slice(1));
    return parts[0]!;
  }

  logits(hiddenRows: Tensor): Tensor {
    const parts = [
      hiddenRows,
      ...(this.beside.get(hiddenRows) ?? this.unavailable('logits of other rows than it gave')),
    ];
    return this.handOver(this.together((rank, i) => rank.logits(parts[i]!)));
  }

  async settle(): Promise<void> {
    const ended = await Promise.allSettled(this.others.map(({ device }) => device.flush()));
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
  }

  hiddenStates(): never {
    return this.unavailable('hidden states of layers');
  }

  embedded(): never {
    return this.unavailable('embeddings alone');
  }

  runLayer(): never {
    return this.unavailable('running one layer');
  }

  layerParts(): never {
    return this.unavailable('parts of one layer');
  }

  normalized(): never {
    return this.unavailable('running one layer');
  }

  crossEntropy(): never {
    return this.unavailable('losses');
  }

  dispose(): void {
    for (const rank of this.ranks) rank.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * What each rank records, handed to their devices only when all of it is there. Recording may ask for memory, and a driver may
   * wait for its device before it gives any; a device whose sum is under way waits for the other devices, and
   * those would wait for this thread.
   */
  private together(record: (rank: CausalLanguageModel, i: number) => Tensor): Tensor[] {
    const devices = this.ranks.map((rank) => rank.device);
    for (const device of devices) device.hold(true);
    let parts: Tensor[];
    try {
      parts = this.ranks.map(record);
    } finally {
      for (const device of devices) device.hold(false);
    }
    for (const device of devices) device.submit();
    return parts;
  }

  /** The first rank's tensor; those of the others are not needed. */
  private handOver([own, ...others]: Tensor[]): Tensor {
    for (const other of others) other.dispose();
    return own!;
  }

  private unavailable(what: string): never {
    const { modelType } = this.config;
    throw modelErrors.TENSOR_PARALLEL({ modelType, ways: this.ranks.length, reason: `it does not give ${what}` });
  }
}
