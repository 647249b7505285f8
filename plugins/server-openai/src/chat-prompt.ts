import { apiErrors } from './http/api-error.js';
import type { ChatMessage, ServedModel } from './models.js';
import type { ChatRequest } from './schemas/chat.js';
import type { Tool } from './schemas/tools.js';
import { encodeText } from './texts.js';
import { describeTools, type ToolFormat } from './tools/tool-format.js';

/** The messages as templates take them: text alone, and the arguments of calls as objects. */
function readMessages(messages: ChatRequest['messages']): ChatMessage[] {
  return messages.map(({ role, content, name, tool_calls: calls, tool_call_id: callId }, index) => ({
    role: role === 'developer' ? 'system' : role,
    content: typeof content === 'string' ? content : (content ?? []).map((part) => part.text).join(''),
    ...(name != null && { name }),
    ...(calls?.length && {
      tool_calls: calls.map((call, at) => readCall(call, `messages[${index}].tool_calls[${at}]`)),
    }),
    ...(callId != null && { tool_call_id: callId }),
  }));
}

function readCall(
  { id, function: { name, arguments: json } }: { id: string; function: { name: string; arguments: string } },
  place: string,
): NonNullable<ChatMessage['tool_calls']>[number] {
  let given: unknown;
  try {
    given = json.trim() === '' ? {} : JSON.parse(json);
  } catch {
    throw apiErrors.invalidRequest('The arguments of a call must be JSON.', `${place}.function.arguments`);
  }
  return { id, type: 'function', function: { name, arguments: given } };
}

/** Renders and encodes a conversation, with the tools that the model shall know of. */
export function renderPrompt(
  model: ServedModel,
  messages: ChatRequest['messages'],
  format: ToolFormat,
  tools: readonly Tool[],
): Promise<ArrayLike<number>> {
  const described = describeTools(format, readMessages(messages), tools);
  let text: string;
  try {
    text = model.tokenizer.applyChatTemplate(described.messages, {
      addGenerationPrompt: true,
      ...(described.tools && { tools: described.tools }),
    });
  } catch (error) {
    // Templates refuse conversations that they were not written for, such as two user messages in a row.
    const reason = error instanceof Error ? error.message : String(error);
    throw apiErrors.invalidRequest(`The model's chat template refused the messages: ${reason}`, 'messages');
  }
  return encodeText(model, text, 'messages', { addSpecialTokens: false });
}

/** The source of the model's chat template; a 400 when it has none. */
export function templateOf(model: ServedModel): string {
  if (model.chatTemplate !== undefined) return model.chatTemplate;
  throw apiErrors.invalidRequest(
    `The model ${JSON.stringify(model.id)} has no chat template, so it cannot chat. Use /v1/completions.`,
    'model',
    'no_chat_template',
  );
}
