import { apiErrors } from './http/api-error.js';
import type { ServedModel } from './models.js';

/** A text as tokens, and as the text that `echo` gives back. */
export interface RequestText {
  readonly tokens: ArrayLike<number>;
  readonly text: () => string;
}

/** Texts as OpenAI's API takes them: one or several, as text or as tokens. */
export type TextInput = string | readonly number[] | readonly (string | readonly number[])[];

/**
 * Tokens of a text. One that cannot fit in the model's context is refused before it is encoded: that may take seconds, and
 * what comes of it would hold up everybody.
 */
export async function encodeText(
  { tokenizer, contextLength }: ServedModel,
  text: string,
  param: string,
  options: { addSpecialTokens: boolean },
): Promise<ArrayLike<number>> {
  const { maxTokenLength } = tokenizer;
  const least = maxTokenLength === undefined ? 0 : Math.ceil(text.length / maxTokenLength);
  if (least > contextLength) throw apiErrors.textTooLong(contextLength, least, param);
  return tokenizer.encode(text, options);
}

/**
 * The texts of a request.
 * @param param the field that they stand in, for messages
 */
export async function readTexts(model: ServedModel, input: TextInput, param: string): Promise<RequestText[]> {
  const { tokenizer } = model;
  const fromText = async (text: string): Promise<RequestText> => {
    let tokens = await encodeText(model, text, param, { addSpecialTokens: true });
    if (tokens.length === 0) {
      const start = tokenizer.bosTokenId ?? tokenizer.eosTokenIds[0];
      if (start === undefined) throw apiErrors.invalidRequest(`The ${param} is empty.`, param);
      tokens = [start];
    }
    return { tokens, text: () => text };
  };
  const fromTokens = (tokens: readonly number[]): RequestText => {
    const wrong = tokens.find((token) => token >= tokenizer.vocabSize);
    if (wrong !== undefined) {
      const message = `The ${param} holds token ${wrong}, but the vocabulary ends at ${tokenizer.vocabSize - 1}.`;
      throw apiErrors.invalidRequest(message, param);
    }
    return { tokens, text: () => tokenizer.decode(tokens, { skipSpecialTokens: false }) };
  };
  if (typeof input === 'string') return [await fromText(input)];
  if (typeof input[0] === 'number') return [fromTokens(input as readonly number[])];
  const entries = input as readonly (string | readonly number[])[];
  return Promise.all(entries.map((entry) => (typeof entry === 'string' ? fromText(entry) : fromTokens(entry))));
}
