import { floatToHalf, halfToFloat } from './half.js';

/** Elements of a block of Q8_0: a scale in half precision, then a signed byte each. */
const blockSize = 32;
const blockBytes = 2 + blockSize;

/**
 * Signed codes [N, K] whose rows have one scale as GGUF's Q8_0: the scale of a row stands in each of its blocks.
 * @param scales [N], numbers of half precision
 */
export function blocksOfRows(codes: Int8Array, scales: Float32Array): Uint8Array {
  const columns = codes.length / scales.length;
  const perRow = columns / blockSize;
  const bytes = new Uint8Array(scales.length * perRow * blockBytes);
  const view = new DataView(bytes.buffer);
  const signs = new Int8Array(bytes.buffer);
  for (let block = 0; block < scales.length * perRow; block++) {
    const to = block * blockBytes;
    view.setUint16(to, floatToHalf(scales[Math.floor(block / perRow)]!), true);
    signs.set(codes.subarray(block * blockSize, (block + 1) * blockSize), to + 2);
  }
  return bytes;
}

/**
 * Rounds values to GGUF's Q8_0: each 32 share a scale, the largest of them over 127. What is not finite makes the scale
 * of its block infinite or NaN, and so shows in every product.
 * @param values a multiple of 32 of them
 */
export function quantizeQ8(values: Float32Array): Uint8Array {
  const blocks = values.length / blockSize;
  const bytes = new Uint8Array(blocks * blockBytes);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < blocks; block++) {
    const from = block * blockSize;
    let largest = 0;
    for (let i = 0; i < blockSize; i++) {
      const size = Math.abs(values[from + i]!);
      if (!(size <= largest)) largest = size;
    }
    const scale = floatToHalf(largest / 127);
    // The codes are of the scale as it is kept, not as it was meant.
    const kept = halfToFloat(scale);
    const inverse = kept > 0 ? 1 / kept : 0;
    const to = block * blockBytes;
    view.setUint16(to, scale, true);
    for (let i = 0; i < blockSize; i++) {
      const code = Math.round(values[from + i]! * inverse);
      view.setInt8(to + 2 + i, Math.max(-127, Math.min(127, code)));
    }
  }
  return bytes;
}
