/**
 * Whether a version lies in a semver range: 1.2.3, 1.2, 1.x, *, ^1.2.3, ~1.2.3, >=1.2.3, 1.0.0 - 2.0.0; several
 * separated by spaces (all must hold) or by || (one must). As semver has it, a prerelease lies only in a range that
 * names a prerelease of the same version.
 */
export function satisfies(version: string, range: string): boolean {
  const actual = parse(version);
  if (!actual) return false;
  return range.split('||').some((part) => {
    const comparators = comparatorsOf(part);
    if (!comparators) return false;
    const inside = comparators.every(({ operator, version: wanted }) => holds(compare(actual, wanted), operator));
    if (!inside || actual.prerelease.length === 0) return inside;
    return comparators.some(({ version: v }) => v.prerelease.length > 0 && compareNumbers(v, actual) === 0);
  });
}

/** Whether a range can be read at all. */
export function isRange(range: string): boolean {
  return range.split('||').every((part) => comparatorsOf(part) !== undefined);
}

interface Version {
  readonly numbers: readonly [number, number, number];
  readonly prerelease: readonly string[];
}

interface Comparator {
  readonly operator: '<' | '<=' | '>' | '>=';
  readonly version: Version;
}

function parse(text: string): Version | undefined {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/.exec(text.trim());
  if (!match) return undefined;
  return { numbers: [Number(match[1]), Number(match[2]), Number(match[3])], prerelease: match[4]?.split('.') ?? [] };
}

const version = (major: number, minor: number, patch: number, prerelease: readonly string[] = []): Version => ({
  numbers: [major, minor, patch],
  prerelease,
});

/** One side of a ||, as plain comparisons. Undefined when it cannot be read. */
function comparatorsOf(part: string): Comparator[] | undefined {
  const hyphen = /^\s*(\S+)\s+-\s+(\S+)\s*$/.exec(part);
  const words = hyphen
    ? [`>=${hyphen[1]}`, `<=${hyphen[2]}`]
    : part
        .trim()
        .replace(/([<>=~^])\s+/g, '$1')
        .split(/\s+/);
  const all = words.map(expand);
  return all.includes(undefined) ? undefined : (all as Comparator[][]).flat();
}

function expand(word: string): Comparator[] | undefined {
  const match = /^(\^|~|>=|<=|>|<|=)?v?(\d+|[xX*])?(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-([0-9A-Za-z.-]+))?$/.exec(
    word,
  );
  if (!match) return undefined;
  const [, operator = '=', ...parts] = match;
  const [major, minor, patch] = parts
    .slice(0, 3)
    .map((part) => (part === undefined || /[xX*]/.test(part) ? undefined : Number(part)));
  if (major === undefined) return operator === '<' || operator === '>' ? undefined : [];
  const low = version(major, minor ?? 0, patch ?? 0, parts[3]?.split('.'));
  // The first version that a partial one (1, 1.2) no longer covers.
  const next = minor === undefined ? version(major + 1, 0, 0) : version(major, minor + 1, 0);
  const below = (end: Version): Comparator[] => [
    { operator: '>=', version: low },
    { operator: '<', version: version(...end.numbers, ['0']) },
  ];
  switch (operator) {
    case '>=':
    case '<':
      return [{ operator, version: low }];
    case '>':
      return [patch === undefined ? { operator: '>=', version: next } : { operator, version: low }];
    case '<=':
      return [patch === undefined ? { operator: '<', version: next } : { operator, version: low }];
    case '~':
      return below(next);
    case '^':
      // The leftmost number that is not zero must stay the same.
      if (major > 0 || minor === undefined) return below(version(major + 1, 0, 0));
      return below(minor > 0 || patch === undefined ? version(0, minor + 1, 0) : version(0, 0, patch + 1));
    default:
      if (patch === undefined) return below(next);
      return [
        { operator: '>=', version: low },
        { operator: '<=', version: low },
      ];
  }
}

function holds(order: number, operator: Comparator['operator']): boolean {
  if (operator === '<') return order < 0;
  if (operator === '<=') return order <= 0;
  return operator === '>' ? order > 0 : order >= 0;
}

function compareNumbers(a: Version, b: Version): number {
  return a.numbers[0] - b.numbers[0] || a.numbers[1] - b.numbers[1] || a.numbers[2] - b.numbers[2];
}

/** Order of semver 2.0: a prerelease comes before its release, and its parts compare one by one. */
function compare(a: Version, b: Version): number {
  const order = compareNumbers(a, b);
  if (order !== 0) return order;
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return b.prerelease.length - a.prerelease.length;
  for (let i = 0; i < Math.max(a.prerelease.length, b.prerelease.length); i++) {
    const [x, y] = [a.prerelease[i], b.prerelease[i]];
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1;
    if (x === y) continue;
    const [nx, ny] = [/^\d+$/.test(x), /^\d+$/.test(y)];
    if (nx && ny) return Number(x) - Number(y);
    return nx !== ny ? (nx ? -1 : 1) : x < y ? -1 : 1;
  }
  return 0;
}
