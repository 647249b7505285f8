import { describe, expect, it } from 'vitest';
import type { Example } from '../formats/format.js';
import { type TrainOn, tokeniseExample } from './tokenise-example.js';
import { letterTokenizer } from './word-tokenizer.fixture.js';

const conversation = (...contents: string[]): Example => ({
  kind: 'conversation',
  messages: contents.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content })),
});

/** The text of the tokens, targets in brackets. */
async function marked(example: Example, trainOn: TrainOn = 'auto', tokenizer = letterTokenizer()): Promise<string> {
  const { tokens, mask } = await tokeniseExample(example, tokenizer, trainOn);
  let text = '';
  for (let from = 0; from < tokens.length; ) {
    let to = from + 1;
    while (to < tokens.length && mask[to] === mask[from]) to++;
    const piece = await tokenizer.decode(tokens.subarray(from, to), { skipSpecialTokens: false });
    text += mask[from] === 1 ? `[${piece}]` : piece;
    from = to;
  }
  return text;
}

describe('targets of an example', () => {
  it("are the assistant's turns with the token that ends them", async () => {
    expect(await marked(conversation('q', 'a', 'r', 'b'))).toBe(
      '<|user|>q</s>\n<|assistant|>[a</s>]\n<|user|>r</s>\n<|assistant|>[b</s>]\n',
    );
  });

  it('are the last turn, or everything, when that is asked for', async () => {
    const example = conversation('q', 'a', 'r', 'b');
    expect(await marked(example, 'last-turn')).toBe(
      '<|user|>q</s>\n<|assistant|>a</s>\n<|user|>r</s>\n<|assistant|>[b</s>]\n',
    );
    expect(await marked(example, 'all')).toBe(
      '[<|user|>q</s>\n<|assistant|>a</s>\n<|user|>r</s>\n<|assistant|>b</s>\n]',
    );
  });

  it('leave out the turns that belong to the prompt', async () => {
    const example = { ...conversation('q', 'a', 'r', 'b'), learnFrom: 3 } as Example;
    expect(await marked(example)).toBe('<|user|>q</s>\n<|assistant|>a</s>\n<|user|>r</s>\n<|assistant|>[b</s>]\n');
  });

  it('are the completion and the stop token', async () => {
    expect(await marked({ kind: 'completion', prompt: 'ab', completion: 'cd' })).toBe('<s>ab[cd</s>]');
  });

  it('begin at the border when a token would reach across it', async () => {
    const tokenizer = letterTokenizer(['bc']);
    const example: Example = { kind: 'completion', prompt: 'ab', completion: 'cd' };
    expect((await tokeniseExample(example, tokenizer, 'auto')).split).toBe(true);
    expect(await marked(example, 'auto', tokenizer)).toBe('<s>ab[cd</s>]');
  });

  it('are all tokens of plain text', async () => {
    expect(await marked({ kind: 'text', text: 'ab' })).toBe('[<s>ab</s>]');
  });
});
