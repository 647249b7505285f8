/**
 * The least time that work can take on a device: the larger of its arithmetic over the peak of dense bf16 and of its bytes
 * over the memory's bandwidth, with every operand moved once. Peaks are the vendors' own (data sheets of A100 80 GB SXM,
 * H100 SXM and MI250, of which one of two dies).
 */
const DEVICES = {
  A100: { flops: 312e12, bytes: 2.04e12 },
  H100: { flops: 989e12, bytes: 3.35e12 },
  'MI250 (one die)': { flops: 181e12, bytes: 1.6e12 },
};

const BF16 = 2;
/** y[m, n] = x[m, k] w[n, k]^T; `bits` of a weight. */
const product = (m, n, k, bits = 16) => ({ flops: 2 * m * n * k, bytes: BF16 * (m * k + m * n) + (bits / 8) * n * k });
/** Attention of `rows` queries of each of `sequences`, causal where they are all of the context. */
const attention = (sequences, rows, context, heads, kvHeads, width) => {
  const seen = rows === context ? context / 2 : context;
  return {
    flops: 4 * sequences * rows * seen * heads * width,
    bytes: BF16 * width * sequences * (2 * rows * heads + 2 * context * kvHeads),
  };
};
const norm = (rows, n) => ({ flops: 4 * rows * n, bytes: BF16 * (2 * rows * n + n) });

/** A kernel at a size at which models use it: [kernel, what it does, its work]. */
const KERNELS = [
  ['gemm_async_nn_bf16', 'product 4096 x 4096 x 4096', product(4096, 4096, 4096)],
  ['gemm_async_nn_bf16', 'product 512 x 14336 x 4096', product(512, 14336, 4096)],
  ['gemm_packed', 'the same with 4-bit weights in groups of 128', product(512, 14336, 4096, 4.25)],
  ['gemm_thin', 'product 1 x 14336 x 4096', product(1, 14336, 4096)],
  ['gemm_packed_thin', 'the same with 4-bit weights in groups of 128', product(1, 14336, 4096, 4.25)],
  ['gemm_packed_thin', 'the same of 16 rows', product(16, 14336, 4096, 4.25)],
  ['attention_bf16_128', 'prompt of 4096, 32 heads, 8 KV heads', attention(1, 4096, 4096, 32, 8, 128)],
  ['attention_bf16_128', 'a token of 32 sequences, context 4096', attention(32, 1, 4096, 32, 8, 128)],
  ['norm_forward', 'RMS norm of 8192 x 4096', norm(8192, 4096)],
];

const milliseconds = ({ flops, bytes }, device) => 1e3 * Math.max(flops / device.flops, bytes / device.bytes);

/** The table, as Markdown. */
export function rooflineTable() {
  const names = Object.keys(DEVICES);
  const rows = KERNELS.map(([kernel, what, work]) => {
    const times = Object.values(DEVICES).map((device) => {
      const bound = work.flops / device.flops > work.bytes / device.bytes ? 'arithmetic' : 'memory';
      return `${milliseconds(work, device).toPrecision(3)} (${bound})`;
    });
    const sizes = [(work.flops / 1e9).toPrecision(4), (work.bytes / 1e6).toPrecision(4)];
    return `| ${[`\`${kernel}\``, what, ...sizes, ...times].join(' | ')} |`;
  });
  const heads = ['kernel', 'work', 'GFLOP', 'MB', ...names.map((name) => `${name}, ms at least`)];
  return [`| ${heads.join(' | ')} |`, `|${' --- |'.repeat(heads.length)}`, ...rows].join('\n');
}
