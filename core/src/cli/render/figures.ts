/** Numbers as people read them: three digits that matter, and a unit. */

/** `1.50 GiB` */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : digits(value)} ${units[unit]}`;
}

/** `850 ms`, `12.3 s`, `4:05`, `1:02:03` */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${digits(seconds)} s`;
  const total = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** `12`, `1,234`, `12.3k`, `4.56M` */
export function count(value: number): string {
  if (value < 10_000) return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
  if (value < 1e6) return `${digits(value / 1e3)}k`;
  return value < 1e9 ? `${digits(value / 1e6)}M` : `${digits(value / 1e9)}G`;
}

/** Three significant digits without an exponent: `1.23`, `12.3`, `123`. */
export function digits(value: number): string {
  const magnitude = Math.abs(value);
  return value.toFixed(magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : 2);
}

/** A rate of learning: `2.00e-4`. */
export function scientific(value: number): string {
  return value === 0 ? '0' : value.toExponential(2);
}
