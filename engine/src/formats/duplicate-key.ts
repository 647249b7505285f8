/**
 * The first key that an object of this JSON text has twice, or undefined. The text must be valid JSON: JSON.parse keeps
 * the last of equal keys without a word, so a header could say two things.
 */
export function duplicateKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (code === 0x7b /* { */) open.push(new Set());
    else if (code === 0x5b /* [ */) open.push(undefined);
    else if (code === 0x7d /* } */ || code === 0x5d /* ] */) open.pop();
    else if (code === 0x22 /* " */) {
      const start = i++;
      while (json.charCodeAt(i) !== 0x22) i += json.charCodeAt(i) === 0x5c /* \ */ ? 2 : 1;
      let next = i + 1;
      while (/\s/.test(json[next] ?? '')) next++;
      const keys = open.at(-1);
      if (keys && json.charCodeAt(next) === 0x3a /* : */) {
        const key = JSON.parse(json.slice(start, i + 1)) as string;
        if (keys.has(key)) return key;
        keys.add(key);
      }
    }
  }
  return undefined;
}
