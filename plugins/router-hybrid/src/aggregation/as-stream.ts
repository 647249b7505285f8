import type { Choice, Usage } from './answers.js';

/**
 * A finished answer as the events of a stream, for clients that asked for one: which of several answers holds is known
 * when all of it is there.
 */
export async function* asStream(
  body: Readonly<Record<string, unknown>>,
  includeUsage: boolean,
): AsyncGenerator<string> {
  const { id, created, model } = body;
  const [choice] = body.choices as Choice[];
  const chat = choice?.message !== undefined;
  const head = { id, object: chat ? 'chat.completion.chunk' : 'text_completion', created, model };
  const { message, text, finish_reason: finish, logprobs } = choice!;
  const said = chat ? { delta: { role: 'assistant', ...withIndices(message!) } } : { text };
  const end = chat ? { delta: {} } : { text: '' };
  const event = (part: object, reason: string | null, tokens?: unknown) =>
    JSON.stringify({
      ...head,
      choices: [{ index: 0, ...part, logprobs: tokens ?? null, finish_reason: reason }],
      ...(includeUsage && { usage: null }),
    });
  yield event(said, null, logprobs);
  yield event(end, finish ?? 'stop');
  if (includeUsage) yield JSON.stringify({ ...head, choices: [], usage: body.usage as Usage });
  yield '[DONE]';
}

/** Chunks number their tool calls, whole messages do not. */
function withIndices({ content, tool_calls: calls }: NonNullable<Choice['message']>): object {
  return {
    ...(content != null && { content }),
    ...(Array.isArray(calls) && { tool_calls: calls.map((call: object, index) => ({ index, ...call })) }),
  };
}
