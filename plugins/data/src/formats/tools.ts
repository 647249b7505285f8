import { RowError } from './format.js';

/** The `tools` field of a row: a list, or a list written as JSON text; nothing when it is empty. */
export function parseTools(value: string | readonly unknown[] | null | undefined): readonly unknown[] | undefined {
  if (value === null || value === undefined || value === '') return undefined;
  let tools: unknown = value;
  if (typeof value === 'string') {
    try {
      tools = JSON.parse(value);
    } catch (error) {
      throw new RowError('tools', `not valid JSON: ${(error as Error).message}`);
    }
  }
  if (!Array.isArray(tools)) throw new RowError('tools', 'expected a list of tool definitions');
  return tools.length === 0 ? undefined : tools;
}
