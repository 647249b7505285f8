import type { TaskConfig } from './task-config.js';

/** Turns an answer into what is compared. */
type Filter = (text: string) => string;

export interface FilterChain {
  readonly name: string;
  readonly apply: Filter;
}

const INVALID = '[invalid]';

const filters: Readonly<Record<string, (options: Readonly<Record<string, unknown>>) => Filter>> = {
  take_first: () => (text) => text,
  lowercase: () => (text) => text.toLowerCase(),
  uppercase: () => (text) => text.toUpperCase(),
  remove_whitespace: () => (text) => text.trimStart(),
  regex: ({ regex_pattern = '#### (\\-?[0-9\\.\\,]+)', group_select = 0, fallback = INVALID }) => {
    const expression = pythonRegExp(String(regex_pattern), 'g');
    return (text) => {
      const matches = [...text.matchAll(expression)];
      const match = matches.at(Number(group_select));
      if (match === undefined) return String(fallback);
      // As re.findall: the whole match without groups, the first group that matched something with several.
      const found = match.length === 1 ? match[0] : match.slice(1).find((group) => group);
      return (match.length === 2 ? (match[1] ?? '') : (found ?? String(fallback))).trim();
    };
  },
  map: ({ mapping_dict = {}, default_value = null }) => {
    const map = mapping_dict as Readonly<Record<string, unknown>>;
    return (text) => String(map[text] ?? default_value);
  },
};

/** The filters of a task; answers stay as they are when it has none. Throws what is wrong with one. */
export function filterChains(config: Pick<TaskConfig, 'filter_list'>): FilterChain[] {
  const list = config.filter_list ?? [];
  if (list.length === 0) return [{ name: 'none', apply: (text) => text }];
  return list.map(({ name, filter }) => {
    const chain = filter.map(({ function: id, ...options }) => {
      const make = filters[id];
      if (!make) throw new Error(`filter_list: there is no filter "${id}"; known: ${Object.keys(filters).join(', ')}`);
      return make(options);
    });
    return { name, apply: (text) => chain.reduce((value, step) => step(value), text) };
  });
}

/** A regular expression of Python's `re`, as far as the two languages have the same. Throws on others. */
export function pythonRegExp(pattern: string, flags = ''): RegExp {
  const [prefix, inline = ''] = /^\(\?([imsx]+)\)/.exec(pattern) ?? [''];
  if (inline.includes('x')) throw new Error(`the regular expression ${pattern} has the flag x, which is not supported`);
  const body = pattern
    .slice(prefix.length)
    .replaceAll('(?P<', '(?<')
    .replace(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replaceAll('\\A', '^')
    .replaceAll('\\Z', '$');
  return new RegExp(body, [...new Set(flags + inline)].join(''));
}
