import { escapeHtml } from './html.js';

export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly interval: readonly [low: number, high: number];
  /** As it is written beside the bar. */
  readonly text: string;
}

const WIDTH = 760;
const LABEL = 250;
const VALUE = 90;
const ROW = 28;

/** Bars from 0 to `most`, with their intervals. */
export function barChart(title: string, bars: readonly Bar[], most = 1): string {
  const scale = (value: number) => LABEL + Math.min(Math.max(value / most, 0), 1) * (WIDTH - LABEL - VALUE);
  const rows = bars.map(({ label, value, interval: [low, high], text }, i) => {
    const y = i * ROW;
    const middle = y + ROW / 2;
    return [
      labelText(label, middle),
      rectangle(LABEL, y + 6, scale(value) - LABEL, ROW - 12, 'var(--bar)'),
      line(scale(low), middle, scale(high), middle, 'var(--mark)', 2),
      `<text x="${WIDTH - VALUE + 8}" y="${middle + 4}">${escapeHtml(text)}</text>`,
    ].join('');
  });
  return chart(title, bars.length, rows);
}

export interface Difference {
  readonly label: string;
  readonly value: number;
  readonly interval: readonly [low: number, high: number];
  readonly text: string;
  readonly colour: 'good' | 'bad' | 'soft';
}

/** Differences with their intervals, on both sides of none. */
export function differenceChart(title: string, differences: readonly Difference[]): string {
  const reach = Math.max(1e-9, ...differences.flatMap(({ value, interval }) => [value, ...interval].map(Math.abs)));
  const centre = LABEL + (WIDTH - LABEL - VALUE) / 2;
  const scale = (value: number) => centre + (value / reach) * ((WIDTH - LABEL - VALUE) / 2 - 4);
  const rows = differences.map(({ label, value, interval: [low, high], text, colour }, i) => {
    const middle = i * ROW + ROW / 2;
    const paint = `var(--${colour})`;
    return [
      labelText(label, middle),
      line(scale(low), middle, scale(high), middle, paint, 2),
      `<circle cx="${round(scale(value))}" cy="${middle}" r="5" fill="${paint}"/>`,
      `<text x="${WIDTH - VALUE + 8}" y="${middle + 4}">${escapeHtml(text)}</text>`,
    ].join('');
  });
  return chart(title, differences.length, [
    line(centre, 0, centre, differences.length * ROW, 'var(--line)', 1),
    ...rows,
  ]);
}

function chart(title: string, rows: number, content: readonly string[]): string {
  const name = escapeHtml(title);
  return `<svg viewBox="0 0 ${WIDTH} ${Math.max(1, rows) * ROW}" role="img" aria-label="${name}"><title>${name}</title>${content.join('\n')}</svg>`;
}

function labelText(label: string, middle: number): string {
  const short = label.length > 34 ? `${label.slice(0, 33)}…` : label;
  return `<text x="0" y="${middle + 4}">${escapeHtml(short)}</text>`;
}

function rectangle(x: number, y: number, width: number, height: number, fill: string): string {
  return `<rect x="${round(x)}" y="${y}" width="${round(Math.max(0, width))}" height="${height}" rx="3" fill="${fill}"/>`;
}

function line(x1: number, y1: number, x2: number, y2: number, stroke: string, width: number): string {
  return `<line x1="${round(x1)}" y1="${y1}" x2="${round(x2)}" y2="${y2}" stroke="${stroke}" stroke-width="${width}"/>`;
}

const round = (value: number) => Math.round(value * 10) / 10;
