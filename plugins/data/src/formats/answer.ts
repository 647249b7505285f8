import {
  checkConversation,
  type Example,
  type Message,
  type ReadingOptions,
  RowError,
  type Verdict,
} from './format.js';

/** A judged answer to a prompt: both texts, or both messages. */
interface Answer {
  readonly prompt: string | readonly Message[];
  readonly answer: string | readonly Message[];
  /** Of the answer in its row, for messages. */
  readonly field: string;
  readonly verdict: Verdict;
}

/**
 * The example of a judged answer; only the answer is a target.
 * @throws RowError when there is no answer, or one side is a text and the other is not
 */
export function answerExample({ prompt, answer, field, verdict }: Answer, { style }: ReadingOptions): Example {
  if (typeof prompt === 'string' && typeof answer === 'string') {
    if (answer === '') throw new RowError(field, 'empty: there is no answer');
    if (style !== 'chat') return { kind: 'completion', prompt, completion: answer, verdict };
    const messages: Message[] = [
      { role: 'user', content: prompt },
      { role: 'assistant', content: answer },
    ];
    return { kind: 'conversation', messages, verdict };
  }
  if (typeof prompt === 'string' || typeof answer === 'string') {
    throw new RowError(field, 'prompt and answer must both be texts or both be lists of messages');
  }
  checkConversation(answer, field);
  return { kind: 'conversation', messages: [...prompt, ...answer], learnFrom: prompt.length, verdict };
}
