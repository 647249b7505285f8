import type { Device } from '../device/device.js';
import { KvCache, type KvCacheOptions, type KvShape } from '../models/kv-cache.js';

/** A cache on several devices, each with the keys and values of its own heads: the same blocks everywhere. */
export class ShardedCache extends KvCache {
  constructor(
    device: Device,
    shape: KvShape,
    options: KvCacheOptions,
    /** Those of the ranks from 1 on. */
    readonly others: readonly KvCache[],
  ) {
    super(device, shape, options);
  }

  override copyBlocks(pairs: readonly (readonly [from: number, to: number])[]): void {
    super.copyBlocks(pairs);
    for (const cache of this.others) cache.copyBlocks(pairs);
  }

  override dispose(): void {
    super.dispose();
    for (const cache of this.others) cache.dispose();
  }
}
