import { readServedAdapter, type ServedAdapter, serveAdapters } from '../models/lora/index.js';
import type { CausalLanguageModel } from '../models/model.js';

/** An adapter that requests can use while it is loaded. */
export interface AdapterHandle {
  /** Its place among the model's served adapters. */
  readonly slot: number;
  /** A number that no other adapter of this process ever had: places are given again, cached prefixes must not be. */
  readonly serial: number;
}

let nextSerial = 1;

/**
 * Adapters of one base model that are served side by side, loaded and unloaded while the model generates. Rows of one
 * batch use different ones (Punica, Chen et al. 2024; S-LoRA, Sheng et al. 2024): their matrices lie in one stack a layer.
 */
export class AdapterSlots implements Disposable {
  private readonly slots: (ServedAdapter | undefined)[] = [];

  constructor(private readonly model: CausalLanguageModel) {}

  /** Reads an adapter's folder. Throws LF_ENGINE_ADAPTER_CONFIG or _ADAPTER_TENSORS, and nothing has changed then. */
  load(path: string): AdapterHandle {
    const adapter = readServedAdapter(this.model, path);
    const free = this.slots.indexOf(undefined);
    const slot = free < 0 ? this.slots.length : free;
    this.slots[slot] = adapter;
    this.stack();
    return { slot, serial: nextSerial++ };
  }

  /** Frees an adapter. No request may use it any more. */
  unload({ slot }: AdapterHandle): void {
    const adapter = this.slots[slot];
    if (!adapter) return;
    this.slots[slot] = undefined;
    while (this.slots.length > 0 && this.slots.at(-1) === undefined) this.slots.pop();
    this.stack();
    free(adapter);
  }

  [Symbol.dispose](): void {
    const loaded = this.slots.splice(0);
    serveAdapters(this.model, []);
    for (const adapter of loaded) if (adapter) free(adapter);
  }

  /** Steps that were recorded already still see the stack as it was: commands run in order. */
  private stack(): void {
    serveAdapters(
      this.model,
      this.slots.map((adapter) => adapter ?? new Map()),
    );
  }
}

function free(adapter: ServedAdapter): void {
  for (const { a, b } of adapter.values()) {
    a.dispose();
    b.dispose();
  }
}
