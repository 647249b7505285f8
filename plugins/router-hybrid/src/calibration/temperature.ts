import { softmax } from '../neural/linear-classifier.js';

/**
 * The temperature at which probabilities fit held-out labels best (Guo et al. 2017): the least negative log-likelihood,
 * by golden-section search on its logarithm, between 0.05 and 20.
 */
export function fitTemperature(logits: readonly Float32Array[], labels: readonly number[]): number {
  const loss = (logTemperature: number): number => {
    const temperature = Math.exp(logTemperature);
    let sum = 0;
    logits.forEach((row, i) => {
      sum -= Math.log(Math.max(softmax(row.slice(), temperature)[labels[i]!]!, 1e-12));
    });
    return sum / logits.length;
  };
  return logits.length === 0 ? 1 : Math.exp(goldenSection(loss, Math.log(0.05), Math.log(20)));
}

/** Where a function of one valley is least, to a thousandth of the interval. */
export function goldenSection(f: (x: number) => number, low: number, high: number): number {
  const ratio = (Math.sqrt(5) - 1) / 2;
  const tolerance = (high - low) / 1000;
  let [a, b] = [low, high];
  let [c, d] = [b - ratio * (b - a), a + ratio * (b - a)];
  let [fc, fd] = [f(c), f(d)];
  while (b - a > tolerance) {
    if (fc < fd) {
      b = d;
      [d, fd] = [c, fc];
      c = b - ratio * (b - a);
      fc = f(c);
    } else {
      a = c;
      [c, fc] = [d, fd];
      d = a + ratio * (b - a);
      fd = f(d);
    }
  }
  return (a + b) / 2;
}

/** Expected calibration error in ten bins of equal width (Naeini et al. 2015). */
export function calibrationError(rows: readonly { readonly confidence: number; readonly correct: boolean }[]): number {
  const bins = Array.from({ length: 10 }, () => ({ count: 0, confidence: 0, correct: 0 }));
  for (const { confidence, correct } of rows) {
    const bin = bins[Math.min(9, Math.floor(confidence * 10))]!;
    bin.count++;
    bin.confidence += confidence;
    bin.correct += Number(correct);
  }
  return bins.reduce((sum, bin) => sum + Math.abs(bin.confidence - bin.correct), 0) / Math.max(1, rows.length);
}
