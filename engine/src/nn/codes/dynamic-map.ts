/**
 * What codes of 8 bits mean: the dynamic map of bitsandbytes (Dettmers 2016, arXiv 1511.04561), ascending. A code has an
 * exponent of base 10 in as many bits as it needs, and a fraction in those that are left.
 */
export function dynamicMap(signed: boolean): Float32Array {
  const exponents = 7;
  const values = [0, 1];
  for (let i = 0; i < exponents; i++) {
    const boundaries = linear(0.1, 1, 2 ** (signed ? i : i + 1) + 1);
    const power = 10 ** (i - exponents + 1);
    for (let k = 0; k + 1 < boundaries.length; k++) {
      const mean = Math.fround(Math.fround((boundaries[k] as number) + (boundaries[k + 1] as number)) / 2);
      const value = Math.fround(Math.fround(power) * mean);
      values.push(value);
      if (signed) values.push(-value);
    }
  }
  return Float32Array.from(values).sort();
}

/** `count` numbers from one to another, as torch.linspace computes them in f32: from either end to the middle. */
function linear(from: number, to: number, count: number): Float32Array {
  const step = Math.fround((Math.fround(to) - Math.fround(from)) / (count - 1));
  return Float32Array.from({ length: count }, (_, i) =>
    i < count / 2 ? Math.fround(from) + step * i : Math.fround(to) - step * (count - 1 - i),
  );
}
