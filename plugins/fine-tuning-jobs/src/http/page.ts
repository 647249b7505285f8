import { z } from 'zod';

/** How lists are asked for: `after` the id that the page before ended with. */
export const pageQuery = (limit: number, most: number) =>
  z.object({
    after: z.string().optional().describe('id that the page before ended with'),
    limit: z.coerce.number().int().min(1).max(most).default(limit),
  });

/** A page of a list, as OpenAI's clients go through it. */
export function pageOf<Item extends { readonly id: string }>(
  items: readonly Item[],
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
) {
  const from = after === undefined ? 0 : items.findIndex(({ id }) => id === after) + 1;
  const data = items.slice(from, from + limit);
  const ids = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
  return { object: 'list' as const, data, ...ids, has_more: from + limit < items.length };
}
