const Z95 = 1.959963984540054;

/** The 95 % interval of a share (Wilson 1927): honest for small counts and near 0 and 1. */
export function wilsonInterval(successes: number, total: number): [low: number, high: number] {
  if (total === 0) return [0, 1];
  const share = successes / total;
  const denominator = 1 + Z95 ** 2 / total;
  const centre = (share + Z95 ** 2 / (2 * total)) / denominator;
  const half = (Z95 / denominator) * Math.sqrt((share * (1 - share)) / total + Z95 ** 2 / (4 * total ** 2));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
