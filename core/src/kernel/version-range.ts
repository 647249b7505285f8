/**
 * Whether a version lies in a range of the kinds that plugins use: exact (1.2.3), ^1.2.3, ~1.2.3, >=1.2.3, * and several
 * of them separated by spaces (all must hold) or by || (one must).
 */
export function satisfies(version: string, range: string): boolean {
  return range.split('||').some((part) =>
    part
      .trim()
      .split(/\s+/)
      .every((comparator) => matches(version, comparator)),
  );
}

type Triple = [number, number, number];

function parse(version: string): Triple {
  const [major = 0, minor = 0, patch = 0] = version
    .replace(/[-+].*$/, '')
    .split('.')
    .map((part) => Number.parseInt(part, 10) || 0);
  return [major, minor, patch];
}

function compare(a: Triple, b: Triple): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

function matches(version: string, comparator: string): boolean {
  if (comparator === '*' || comparator === '') return true;
  const operator = comparator.match(/^(\^|~|>=|<=|>|<|=)?/)?.[0] ?? '';
  const wanted = parse(comparator.slice(operator.length));
  const actual = parse(version);
  const order = compare(actual, wanted);
  switch (operator) {
    case '>=':
      return order >= 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '<':
      return order < 0;
    case '~':
      return order >= 0 && actual[0] === wanted[0] && actual[1] === wanted[1];
    // The leftmost number that is not zero must stay the same.
    case '^':
      return (
        order >= 0 &&
        actual[0] === wanted[0] &&
        (wanted[0] > 0 || (actual[1] === wanted[1] && (wanted[1] > 0 || actual[2] === wanted[2])))
      );
    default:
      return order === 0;
  }
}
