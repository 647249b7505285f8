/** Repeatable damage to files. */

/** Numbers in [0, 1) from a seed (mulberry32). */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const EDGES = [
  0n,
  1n,
  2n,
  3n,
  31n,
  33n,
  255n,
  2n ** 16n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const JSON_EDGES = [
  '-1',
  '1e999',
  '0.5',
  'null',
  '[]',
  '{}',
  '"F32"',
  '9007199254740993',
  '4294967296',
  '0',
  '""',
  ',',
  '}',
];

/** Where a file's header ends, as an undamaged file says. */
function headerEnd(format, bytes) {
  if (format === 'safetensors' && bytes.length >= 8) {
    return Math.min(bytes.length, 8 + Number(bytes.readBigUInt64LE(0) & 0xffffn));
  }
  return Math.min(bytes.length, 1500);
}

const kinds = {
  /** Bits anywhere. */
  flip(bytes, { below }) {
    const damaged = Buffer.from(bytes);
    for (let n = 1 + below(8); n > 0; n--) damaged[below(bytes.length)] ^= 1 << below(8);
    return damaged;
  },
  /** Bytes at the end, where data lies: blocks with any scale and any content. */
  data(bytes, { below }) {
    const damaged = Buffer.from(bytes);
    for (let n = 1 + below(16); n > 0; n--) damaged[bytes.length - 1 - below(Math.min(64, bytes.length))] = below(256);
    return damaged;
  },
  /** Bytes of the header. */
  header(bytes, { below, end }) {
    const damaged = Buffer.from(bytes);
    for (let n = 1 + below(4); n > 0; n--) damaged[below(end)] = below(256);
    return damaged;
  },
  /** A number at a limit where a count, length, size, type or offset may stand. */
  number(bytes, { below, end, pick }) {
    const damaged = Buffer.from(bytes);
    const wide = below(2) === 0;
    const at = below(Math.max(1, end - 8));
    if (at + 8 > bytes.length) return damaged;
    if (wide) damaged.writeBigUInt64LE(pick(EDGES), at);
    else damaged.writeUInt32LE(Number(pick(EDGES) & 0xffffffffn), at);
    return damaged;
  },
  /** A field that is found by what stands there: a small 64-bit number (GGUF) or a JSON value (safetensors). */
  field(bytes, { below, end, pick, format }) {
    if (format === 'safetensors') {
      const header = bytes.toString('latin1', 8, end);
      const values = [...header.matchAll(/(?<=[:,[])(\d+|"[^"]*"|\[[^\]]*\])/g)];
      if (values.length === 0) return bytes;
      const { index, 0: value } = pick(values);
      const changed = Buffer.from(
        header.slice(0, index) + pick(JSON_EDGES) + header.slice(index + value.length),
        'latin1',
      );
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(changed.length));
      return Buffer.concat([length, changed, bytes.subarray(end)]);
    }
    const places = [];
    for (let at = 4; at + 8 <= end; at++) if (bytes.readBigUInt64LE(at) < 0x10000n) places.push(at);
    if (places.length === 0) return bytes;
    const damaged = Buffer.from(bytes);
    const at = pick(places);
    const edge = below(2) === 0 ? pick(EDGES) : bytes.readBigUInt64LE(at) + BigInt(1 + below(64));
    damaged.writeBigUInt64LE(edge, at);
    return damaged;
  },
  truncate: (bytes, { below }) => bytes.subarray(0, below(bytes.length)),
  /** A part of another file, or of this one, in place of a part. */
  splice(bytes, { below, other }) {
    const from = below(other.length);
    const part = other.subarray(from, from + below(200));
    const at = below(bytes.length);
    return Buffer.concat([
      bytes.subarray(0, at),
      part,
      bytes.subarray(at + (below(2) === 0 ? part.length : below(50))),
    ]);
  },
};

/** Damages `bytes` in one to three ways that `random` chooses. `other` is what is spliced in. */
export function mutate(random, format, bytes, other) {
  const below = (limit) => Math.floor(random() * limit);
  const pick = (list) => list[below(list.length)];
  let damaged = bytes;
  // Most with one damage only: the more there are, the earlier a file is refused.
  for (let n = Math.max(1, below(6) - 2); n > 0 && damaged.length > 0; n--) {
    const end = Math.max(1, headerEnd(format, damaged));
    damaged = kinds[pick(Object.keys(kinds))](damaged, { below, pick, end, format, other });
  }
  return damaged;
}
