import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { AdmissionQueue } from './http/admission.js';
import type { ModelHost, ModelStats } from './models.js';

const latencyBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** What the server counts, in its own registry; the first six names are those of SyRS 6.1.3. */
export class ServerMetrics {
  readonly registry = new Registry();
  readonly requests: Counter<'endpoint' | 'model' | 'status'>;
  readonly latency: Histogram<'endpoint' | 'model'>;
  readonly firstToken: Histogram<'endpoint' | 'model'>;
  readonly generatedTokens: Counter<'model'>;
  readonly promptTokens: Counter<'model'>;

  constructor(models: ModelHost, queue: AdmissionQueue) {
    const registers = [this.registry];
    this.requests = new Counter({
      name: 'inference_requests_total',
      help: 'Requests for completions and chat completions, by the HTTP status they ended with (499: the client hung up).',
      labelNames: ['endpoint', 'model', 'status'],
      registers,
    });
    this.latency = new Histogram({
      name: 'inference_latency_seconds',
      help: 'Seconds from the arrival of a request to the end of its answer, for answers that succeeded.',
      labelNames: ['endpoint', 'model'],
      buckets: latencyBuckets,
      registers,
    });
    this.firstToken = new Histogram({
      name: 'inference_time_to_first_token_seconds',
      help: 'Seconds from the arrival of a request to its first token.',
      labelNames: ['endpoint', 'model'],
      buckets: latencyBuckets,
      registers,
    });
    this.generatedTokens = new Counter({
      name: 'tokens_generated_total',
      help: 'Tokens generated, also those of requests that were cancelled.',
      labelNames: ['model'],
      registers,
    });
    this.promptTokens = new Counter({
      name: 'tokens_prompt_total',
      help: 'Tokens of the prompts of requests that were started.',
      labelNames: ['model'],
      registers,
    });
    new Gauge({
      name: 'active_requests',
      help: 'Requests being answered, queued ones included.',
      registers,
      collect() {
        this.set(queue.activeRequests);
      },
    });
    new Gauge({
      name: 'queued_requests',
      help: 'Sequences that wait for their first token.',
      registers,
      collect() {
        this.set(queue.state.queuedRequests);
      },
    });
    this.addModelGauges(models);
    collectDefaultMetrics({ register: this.registry });
  }

  private addModelGauges(models: ModelHost): void {
    const registers = [this.registry];
    const each = async (visit: (id: string, stats: ModelStats) => void) => {
      for (const { id } of models.list()) visit(id, (await models.get(id)).stats());
    };
    new Gauge({
      name: 'model_load_time_seconds',
      help: 'Seconds that loading the model took.',
      labelNames: ['model'],
      registers,
      async collect() {
        this.reset();
        await each((model, stats) => {
          if (stats.loadSeconds !== undefined) this.set({ model }, stats.loadSeconds);
        });
      },
    });
    // Several models may share a device: its memory is reported once, under the device's name.
    const deviceMemory = (name: string, help: string, include: (kind: string) => boolean) =>
      new Gauge({
        name,
        help,
        labelNames: ['device'],
        registers,
        async collect() {
          this.reset();
          await each((_, { device }) => {
            if (device && include(device.kind)) this.set({ device: device.name }, device.memoryUsedBytes);
          });
        },
      });
    deviceMemory(
      'gpu_memory_used_bytes',
      'Memory in use on each GPU; no sample on a machine without one.',
      (kind) => kind !== 'cpu',
    );
    deviceMemory(
      'device_memory_used_bytes',
      'Memory that the engine holds on each device, the CPU included.',
      () => true,
    );
    new Gauge({
      name: 'kv_cache_usage_ratio',
      help: "Share of the model's cache blocks in use.",
      labelNames: ['model'],
      registers,
      async collect() {
        this.reset();
        await each((model, stats) => {
          if (stats.cacheUsage !== undefined) this.set({ model }, stats.cacheUsage);
        });
      },
    });
  }
}
