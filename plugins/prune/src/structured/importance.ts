/**
 * What the inputs of a matrix [rows, columns] count for, each the mean over rows of |w| * ||x||: Wanda's score summed over
 * structures, as FLAP's authors have it for comparison (An et al. 2024, "Wanda-sp").
 * @param squares [columns] sums of the squares of each input over the calibration rows
 */
export function inputScores(values: Float32Array, squares: Float64Array): Float64Array {
  const columns = squares.length;
  const rows = values.length / columns;
  const scores = new Float64Array(columns);
  for (let at = 0; at < values.length; at++) scores[at % columns]! += Math.abs(values[at]!);
  return scores.map((sum, column) => (sum / rows) * Math.sqrt(squares[column]!));
}

/** Sums of `size` scores in a row. */
export function groupSums(scores: Float64Array, size: number): Float64Array {
  return Float64Array.from({ length: scores.length / size }, (_, group) => {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += scores[group * size + i]!;
    return sum;
  });
}

/** The `count` largest of scores, in the order in which they stand; of equal ones the first. */
export function largest(scores: ArrayLike<number>, count: number): number[] {
  const order = Array.from(scores, (_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b);
  return order.slice(0, count).sort((a, b) => a - b);
}

/** Sums over rows of 1 - cos(before, after), of streams [rows, size]. */
export function turned(before: Float32Array, after: Float32Array, size: number): number {
  let total = 0;
  for (let row = 0; row < before.length; row += size) {
    let [product, first, second] = [0, 0, 0];
    for (let i = row; i < row + size; i++) {
      product += before[i]! * after[i]!;
      first += before[i]! ** 2;
      second += after[i]! ** 2;
    }
    total += 1 - product / Math.sqrt(first * second || 1);
  }
  return total;
}
