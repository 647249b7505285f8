export const levelNames: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

const colors: Readonly<Record<string, number>> = { trace: 2, debug: 2, info: 36, warn: 33, error: 31, fatal: 31 };

/** One JSON line of the log as one line for people: `12:01:02 info  [trainer-sft] loaded the model rows=200`. */
export function prettyLine(line: string, color: boolean): string {
  const { level, time, msg, plugin, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const name = levelNames[level as number] ?? '';
  const paint = (code: number, text: string) => (color ? `\x1b[${code}m${text}\x1b[0m` : text);
  const { code, message } = (err ?? {}) as { code?: string; message?: string };
  const error = message !== undefined && !String(msg ?? '').includes(message) ? [message] : [];
  const rest = Object.entries({ ...fields, ...(code && { code }) }).map(
    ([key, value]) => `${key}=${typeof value === 'string' && /^\S+$/.test(value) ? value : JSON.stringify(value)}`,
  );
  const parts = [
    paint(2, String(time).slice(11, 19)),
    paint(colors[name] ?? 0, name.padEnd(5)),
    ...(plugin ? [`[${String(plugin).replace(/^@largeforge\//, '')}]`] : []),
    ...(msg ? [String(msg)] : []),
    ...error,
    ...rest.map((text) => paint(2, text)),
  ];
  return `${parts.join(' ')}\n`;
}
