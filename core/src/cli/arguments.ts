/** Parsers for the values of flags: what they throw is shown as a usage error that names the flag. */

/** A number within bounds. */
export function numberBetween(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value))
      throw new Error(`expected a number, found ${JSON.stringify(text)}`);
    if (value < minimum || value > maximum)
      throw new Error(`expected a number from ${minimum} to ${maximum}, found ${text}`);
    return value;
  };
}

/** A whole number within bounds. */
export function integerBetween(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    if (!/^[+-]?\d+$/.test(text)) throw new Error(`expected a whole number, found ${JSON.stringify(text)}`);
    return numberBetween(minimum, maximum)(text);
  };
}

/** Collects the values of a flag that may be given several times. */
export function collect(text: string, previous: unknown): string[] {
  return [...((previous as string[] | undefined) ?? []), text];
}
