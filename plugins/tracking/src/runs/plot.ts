import type { Point } from './run-store.js';

/** A curve and its name. */
export interface Curve {
  readonly name: string;
  readonly points: readonly Point[];
}

/** Bits of the dots of a braille character, by column and row. */
const dots = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

/** Marks of curves where several share a plot; the first is drawn in dots. */
const marks = ['⠿', '+', 'x', 'o', '*', '#'] as const;

/**
 * Curves over their steps as lines of text: in braille dots (two by four a character) when there is one, each with a mark
 * of its own when there are several. What is no number is left out.
 * @param size characters of the drawing itself, without its axes
 */
export function plot(title: string, curves: readonly Curve[], size: { columns: number; rows: number }): string[] {
  const shown = curves.map(({ name, points }) => ({
    name,
    points: points.filter(({ value }) => Number.isFinite(value)),
  }));
  const all = shown.flatMap(({ points }) => points);
  if (all.length === 0) return [`${title}: no figures`];
  const [first, last] = bounds(all.map(({ step }) => step));
  const [low, high] = bounds(all.map(({ value }) => value));
  const single = shown.length === 1;
  const grid = single ? { columns: 2 * size.columns, rows: 4 * size.rows } : size;
  const place = (value: number, from: number, to: number, cells: number) =>
    to === from ? 0 : Math.round(((value - from) / (to - from)) * (cells - 1));
  const cells = Array.from({ length: size.rows }, () => new Array<string>(size.columns).fill(' '));
  const bits = Array.from({ length: size.rows }, () => new Uint8Array(size.columns));
  for (const [c, { points }] of shown.entries()) {
    for (const [column, value] of columnsOf(points, (step) => place(step, first, last, grid.columns), single)) {
      const row = grid.rows - 1 - place(value, low, high, grid.rows);
      if (single) {
        const line = bits[row >> 2] as Uint8Array;
        line[column >> 1] =
          (line[column >> 1] as number) | (dots[(column & 1) as 0 | 1][(row & 3) as 0 | 1 | 2 | 3] as number);
      } else {
        (cells[row] as string[])[column] = marks[(1 + (c % (marks.length - 1))) as 1];
      }
    }
  }
  const lines = single
    ? bits.map((row) => [...row].map((bit) => (bit === 0 ? ' ' : String.fromCodePoint(0x2800 + bit))).join(''))
    : cells.map((row) => row.join(''));
  const labels = lines.map((_, i) => (i === 0 ? short(high) : i === lines.length - 1 ? short(low) : ''));
  const width = Math.max(...labels.map((label) => label.length));
  const foot = `${first}${String(last).padStart(Math.max(1, size.columns - String(first).length))}`;
  return [
    title,
    ...lines.map((line, i) => `${(labels[i] as string).padStart(width)} │${line.trimEnd()}`),
    `${' '.repeat(width)} └${'─'.repeat(size.columns)}`,
    `${' '.repeat(width)}  ${foot} steps`,
    ...(single
      ? []
      : shown.map(({ name }, c) => `${' '.repeat(width)}  ${marks[(1 + (c % (marks.length - 1))) as 1]} ${name}`)),
  ];
}

/** The mean of the points that fall into each column; with `joined`, columns between two of them lie on a line. */
function columnsOf(points: readonly Point[], columnOf: (step: number) => number, joined: boolean): [number, number][] {
  const sums = new Map<number, { sum: number; count: number }>();
  for (const { step, value } of points) {
    const column = columnOf(step);
    const { sum, count } = sums.get(column) ?? { sum: 0, count: 0 };
    sums.set(column, { sum: sum + value, count: count + 1 });
  }
  const means = [...sums].map(([column, { sum, count }]): [number, number] => [column, sum / count]);
  means.sort(([a], [b]) => a - b);
  if (!joined) return means;
  return means.flatMap(([column, value], i) => {
    const [next, after] = means[i + 1] ?? [column + 1, value];
    const between = Array.from({ length: next - column }, (_, k): [number, number] => [
      column + k,
      value + ((after - value) * k) / (next - column),
    ]);
    return between;
  });
}

function bounds(values: readonly number[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}

/** Four digits that matter. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5
    ? Number(value.toPrecision(4)).toString()
    : value.toExponential(2);
}
