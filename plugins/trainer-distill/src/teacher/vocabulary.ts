import type { ModelSource } from '@largeforge/engine';
import { distillErrors } from '../errors.js';

/**
 * Refuses a teacher that does not mean the same by its tokens as the student: its logits would be compared with those of
 * other tokens.
 * @throws LF_DISTILL_VOCABULARY
 */
export function checkSameVocabulary(student: ModelSource, teacher: ModelSource): void {
  const [own, other] = [tokensOf(student), tokensOf(teacher)];
  if (!own || !other) return;
  for (const [token, id] of own) {
    if (other.get(token) === id) continue;
    const found = other.has(token) ? `${other.get(token)} to the teacher` : 'unknown to the teacher';
    const reason = `${JSON.stringify(token)} is ${id} to the student, ${found}`;
    throw distillErrors.LF_DISTILL_VOCABULARY({ student: student.path, teacher: teacher.path, reason });
  }
}

/** Ids of the tokens of a tokenizer.json. */
export function tokensOf({ tokenizer }: ModelSource): Map<string, number> | undefined {
  if (!tokenizer) return undefined;
  const { model, added_tokens: added } = tokenizer.tokenizer as {
    model?: { vocab?: Record<string, number> | [string, number][] };
    added_tokens?: { id: number; content: string }[];
  };
  const vocabulary = model?.vocab;
  const tokens: [string, number][] = Array.isArray(vocabulary)
    ? vocabulary.map(([token], id) => [token, id])
    : Object.entries(vocabulary ?? {});
  return new Map([...tokens, ...(added ?? []).map(({ content, id }): [string, number] => [content, id])]);
}
