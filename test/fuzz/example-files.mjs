/** Small safetensors and GGUF files with every data type that is read: what the fuzz test starts from. */

const number = (bytes, method, value) => {
  const buffer = Buffer.alloc(bytes);
  buffer[method](value);
  return buffer;
};
const u32 = (value) => number(4, 'writeUInt32LE', value);
const u64 = (value) => number(8, 'writeBigUInt64LE', BigInt(value));
const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const entry = (key, type, ...value) => Buffer.concat([text(key), u32(type), ...value]);

/** Number in ggml, elements and bytes of a block. */
const GGML = {
  F32: [0, 1, 4],
  F16: [1, 1, 2],
  Q4_0: [2, 32, 18],
  Q4_1: [3, 32, 20],
  Q5_0: [6, 32, 22],
  Q5_1: [7, 32, 24],
  Q8_0: [8, 32, 34],
  Q4_K: [12, 256, 144],
  Q5_K: [13, 256, 176],
  Q6_K: [14, 256, 210],
  I8: [24, 1, 1],
  I32: [26, 1, 4],
  I64: [27, 1, 8],
  F64: [28, 1, 8],
  BF16: [30, 1, 2],
};
const SAFETENSORS = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, U32: 4, I8: 1, U8: 1, BOOL: 1 };

const metadata = [
  entry('general.architecture', 8, text('llama')),
  entry('general.alignment', 4, u32(32)),
  entry('llama.context_length', 10, u64(128)),
  entry('llama.rope.freq_base', 6, number(4, 'writeFloatLE', 10_000)),
  entry('llama.block_count', 4, u32(1)),
  entry('llama.embedding_length', 4, u32(64)),
  entry('llama.feed_forward_length', 4, u32(64)),
  entry('llama.attention.head_count', 4, u32(4)),
  entry('llama.attention.layer_norm_rms_epsilon', 6, number(4, 'writeFloatLE', 1e-5)),
  entry('tokenizer.ggml.model', 8, text('gpt2')),
  entry('tokenizer.ggml.pre', 8, text('default')),
  entry('tokenizer.ggml.merges', 9, u32(8), u64(1), text('a é')),
  entry('tokenizer.ggml.add_bos_token', 7, Buffer.of(1)),
  entry('tokenizer.chat_template', 8, text('{{ messages[0].content }}')),
  entry('tokenizer.ggml.tokens', 9, u32(8), u64(3), text('a'), text('é'), text('</s>')),
  entry('tokenizer.ggml.token_type', 9, u32(5), u64(3), u32(1), u32(1), u32(3)),
  entry('nested', 9, u32(9), u64(1), u32(0), u64(2), Buffer.of(1, 2)),
];

/** A GGUF file with two rows of each of these types; `fill(bytes)` gives its data. */
function ggufFile(names, fill) {
  let position = 0;
  const tensors = [];
  const data = [];
  for (const [layer, name] of names.entries()) {
    const [type, elements, bytes] = GGML[name];
    const columns = elements === 1 ? 20 : elements * 2;
    const size = (columns / elements) * bytes * 2;
    tensors.push(
      Buffer.concat([text(`blk.${layer}.ffn_up.weight`), u32(2), u64(columns), u64(2), u32(type), u64(position)]),
    );
    data.push(fill(size), Buffer.alloc(-size & 31));
    position += size + (-size & 31);
  }
  const header = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length), ...metadata, ...tensors];
  const length = header.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([...header, Buffer.alloc(-length & 31), ...data]);
}

/** A safetensors file with a tensor of each type, one of no elements and one without dimensions. */
function safetensorsFile(names, fill) {
  const header = { __metadata__: { format: 'pt' } };
  let position = 0;
  const add = (name, dtype, shape) => {
    const bytes = shape.reduce((a, b) => a * b, SAFETENSORS[dtype]);
    header[name] = { dtype, shape, data_offsets: [position, position + bytes] };
    position += bytes;
  };
  for (const name of names) add(`model.${name}.weight`, name, [3, 8]);
  add('empty', names[0], [0, 4]);
  add('scalar', names[0], []);
  let json = JSON.stringify(header);
  json += ' '.repeat(-Buffer.byteLength(json) & 7);
  return Buffer.concat([u64(Buffer.byteLength(json)), Buffer.from(json), fill(position)]);
}

/** Files of both formats: of all types together, and of one type each. `fill(bytes)` gives data. */
export function exampleFiles(fill) {
  const of = (format, make, types) =>
    [types, ...types.map((type) => [type])].map((names) => ({ format, bytes: make(names, fill) }));
  return [...of('gguf', ggufFile, Object.keys(GGML)), ...of('safetensors', safetensorsFile, Object.keys(SAFETENSORS))];
}
