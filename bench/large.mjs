/**
 * A model of 7 billion parameters in 4 bits: how long it takes to load, what memory it takes and how fast it decodes. Its
 * weights are random, in GPTQ's layout with groups of 128; they are written once (4 GB) to the folder given.
 *
 *   node bench/large.mjs [--folder /tmp/largeforge-7b] [--tokens 32] [--threads N] [--json FILE]
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { locateLibrary } from '@largeforge/backend-cpu';
import { asCausal, GenerationEngine, greedy, loadModel, ModelExecutor, openDevice } from '@largeforge/engine';

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: join(tmpdir(), 'largeforge-7b') },
    tokens: { type: 'string', default: '32' },
    threads: { type: 'string' },
    json: { type: 'string' },
  },
});

const [HIDDEN, WIDE, LAYERS, VOCABULARY, GROUP] = [4096, 11008, 32, 32000, 128];
const config = {
  model_type: 'llama',
  vocab_size: VOCABULARY,
  hidden_size: HIDDEN,
  intermediate_size: WIDE,
  num_hidden_layers: LAYERS,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
  quantization_config: {
    quant_method: 'gptq',
    bits: 4,
    group_size: GROUP,
    checkpoint_format: 'gptq_v2',
    desc_act: false,
  },
};

/** Names, data types, shapes and how each is filled. */
function* tensors() {
  const half = (name, shape, value) => ({ name, dtype: 'F16', bytes: 2, shape, value });
  yield half('model.embed_tokens.weight', [VOCABULARY, HIDDEN]);
  yield half('lm_head.weight', [VOCABULARY, HIDDEN]);
  yield half('model.norm.weight', [HIDDEN], 0x3c00);
  for (let layer = 0; layer < LAYERS; layer++) {
    const own = `model.layers.${layer}`;
    yield half(`${own}.input_layernorm.weight`, [HIDDEN], 0x3c00);
    yield half(`${own}.post_attention_layernorm.weight`, [HIDDEN], 0x3c00);
    const linears = [
      ...['q', 'k', 'v', 'o'].map((part) => [`self_attn.${part}_proj`, HIDDEN, HIDDEN]),
      ['mlp.gate_proj', WIDE, HIDDEN],
      ['mlp.up_proj', WIDE, HIDDEN],
      ['mlp.down_proj', HIDDEN, WIDE],
    ];
    for (const [name, n, k] of linears) {
      const i32 = (field, shape, value) => ({ name: `${own}.${name}.${field}`, dtype: 'I32', bytes: 4, shape, value });
      yield i32('qweight', [k / 8, n]);
      yield i32('qzeros', [k / GROUP, n / 8], 0x88888888);
      // 2^-8 times codes of -8 to 7.
      yield half(`${own}.${name}.scales`, [k / GROUP, n], 0x1c00);
    }
  }
}

function write(folder) {
  mkdirSync(folder, { recursive: true });
  const header = {};
  let offset = 0;
  for (const { name, dtype, bytes, shape } of tensors()) {
    const size = shape.reduce((a, b) => a * b, bytes);
    header[name] = { dtype, shape, data_offsets: [offset, offset + size] };
    offset += size;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const path = join(folder, 'model.safetensors');
  const file = openSync(`${path}.new`, 'w');
  writeSync(file, length);
  writeSync(file, padded);
  const chunk = Buffer.alloc(16 << 20);
  for (const { bytes, shape, value, dtype } of tensors()) {
    let left = shape.reduce((a, b) => a * b, bytes);
    while (left > 0) {
      const part = chunk.subarray(0, Math.min(left, chunk.length));
      if (value !== undefined) {
        if (bytes === 2) new Uint16Array(part.buffer, part.byteOffset, part.length / 2).fill(value);
        else new Uint32Array(part.buffer, part.byteOffset, part.length / 4).fill(value);
      } else {
        randomFillSync(part);
        // Halves of magnitude 2^-7 to 2^-5, of either sign.
        if (dtype === 'F16') for (let i = 1; i < part.length; i += 2) part[i] = (part[i] & 0x87) | 0x20;
      }
      writeSync(file, part);
      left -= part.length;
    }
  }
  closeSync(file);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  renameSync(`${path}.new`, path);
}

const { folder } = values;
if (!existsSync(join(folder, 'model.safetensors'))) {
  console.log(`writing a model of 7 billion random parameters to ${folder}`);
  write(folder);
}
const threads = values.threads === undefined ? undefined : Number(values.threads);
const device = openDevice({ library: locateLibrary(), threads });
const { name: cpu, isa, computeUnits } = device.properties;
const start = performance.now();
const model = asCausal(await loadModel(device, folder, { dtype: 'bf16', weights: 'as-stored' }));
model.prepare();
await device.flush();
const loadSeconds = (performance.now() - start) / 1000;
const weights = device.memory().allocated;
const loadPeak = process.resourceUsage().maxRSS * 1024;

const engine = new GenerationEngine({
  executor: new ModelExecutor(model, { maxSequences: 1, cacheBytes: 2 ** 29 }),
  contextLength: 512,
  eosTokenIds: [],
  decoder: () => ({ push: () => 'x', flush: () => '' }),
});
const count = Number(values.tokens);
let first;
const request = { promptTokens: [1, 2, 3, 4], sampling: greedy, maxTokens: count + 1, ignoreEos: true };
for await (const _ of engine.generate(request)) first ??= performance.now();
const seconds = (performance.now() - first) / 1000;
const peak = process.resourceUsage().maxRSS * 1024;
await engine.close();
device[Symbol.dispose]();

console.log(`loaded in ${loadSeconds.toFixed(1)} s; packed weights ${(weights / 2 ** 30).toFixed(2)} GiB`);
console.log(
  `memory at most ${(loadPeak / 2 ** 30).toFixed(2)} GiB while loading, ${(peak / 2 ** 30).toFixed(2)} GiB in all`,
);
console.log(
  `${(count / seconds).toFixed(2)} tokens/s: weights at ${((weights * count) / seconds / 1e9).toFixed(1)} GB/s`,
);
console.log(`${cpu}, ${isa}, ${threads ?? computeUnits} threads, ${count} tokens`);
if (values.json !== undefined) {
  const result = { date: new Date().toISOString(), cpu, isa, threads: threads ?? computeUnits, loadSeconds };
  writeFileSync(values.json, `${JSON.stringify({ ...result, weights, loadPeak, peak, count, seconds }, null, 2)}\n`);
}
