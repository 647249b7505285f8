import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  asCausal,
  loadAdapter,
  loadModel,
  openDevice,
  packSequences,
  readModelSource,
  scope,
  Tokenizer,
} from '@largeforge/engine';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluations, largeforge } from './command.js';
import { backendLibrary, python, smolLm2, temporaryFolder, testData } from './environment.js';
import { readNpy } from './npy.js';
import { serve } from './served.js';

const folder = temporaryFolder();
const file = (name: string) => join(folder, name);

/** Utterances and their intents as conversations: 2,000 rows to train on, 200 that are held out. */
function writeRows(): void {
  const intents = JSON.parse(readFileSync(testData('clinc150/data_full.json'), 'utf8')) as Record<
    string,
    [string, string][]
  >;
  const pick = (split: string, count: number) => {
    const rows = intents[split] as [string, string][];
    // The files are sorted by intent: a stride that shares no factor with their length takes of all.
    return Array.from({ length: count }, (_, i) => rows[(i * 7919) % rows.length] as [string, string]);
  };
  const lines = (rows: [string, string][]) =>
    rows.map(
      ([utterance, intent]) =>
        `${JSON.stringify({
          messages: [
            { role: 'user', content: `Intent of: ${utterance}` },
            { role: 'assistant', content: intent.replaceAll('_', ' ') },
          ],
        })}\n`,
    );
  writeFileSync(file('train.jsonl'), lines(pick('train', 2000)).join(''));
  writeFileSync(file('heldout.jsonl'), lines(pick('val', 200)).join(''));
}

describe('SmolLM2-135M-Instruct, fine-tuned with LoRA on 2,000 rows', () => {
  let events: Record<string, unknown>[];

  beforeAll(async () => {
    writeRows();
    events = await largeforge(
      folder,
      'train',
      'sft',
      '--model',
      smolLm2(),
      '--dataset',
      'train.jsonl',
      '--eval-dataset',
      'heldout.jsonl',
      '--output-dir',
      'adapter',
      '--epochs',
      '1',
      '--batch-size',
      '4',
      '--packing',
      '--max-length',
      '512',
      '--learning-rate',
      '1e-3',
      '--eval-on-start',
    );
    await largeforge(
      folder,
      'merge',
      '--base-model',
      smolLm2(),
      '--adapter',
      'adapter',
      '--output-dir',
      'merged',
      '--dtype',
      'f32',
    );
  });

  it('has a lower loss on held-out rows than the base', () => {
    const losses = evaluations(events);
    console.log(
      `held-out loss ${losses[0]?.loss?.toFixed(3)} -> ${losses.at(-1)?.loss?.toFixed(3)}, ` +
        `accuracy of tokens ${losses[0]?.accuracy?.toFixed(3)} -> ${losses.at(-1)?.accuracy?.toFixed(3)}`,
    );
    expect(losses.at(-1)?.loss).toBeLessThan(0.5 * (losses[0]?.loss as number));
  });

  it('gives the same logits in PEFT, and merged the same in transformers', async () => {
    const device = openDevice({ library: backendLibrary });
    try {
      const tokenizer = Tokenizer.of(readModelSource(smolLm2()));
      const chat = tokenizer.applyChatTemplate([{ role: 'user', content: 'Intent of: what is my balance' }], {
        addGenerationPrompt: true,
      });
      const tokens = Array.from(await tokenizer.encode(chat, { addSpecialTokens: false }));
      writeFileSync(file('tokens.json'), JSON.stringify(tokens));
      const printed = python(
        'peft_logits.py',
        smolLm2(),
        file('adapter'),
        file('merged'),
        file('tokens.json'),
        file('adapted.npy'),
        file('merged.npy'),
      );
      const logitsOf = async (path: string, adapter?: string) => {
        const model = asCausal(await loadModel(device, path, { dtype: 'f32' }));
        if (adapter !== undefined) loadAdapter(model, adapter);
        return scope(() => model.logits(model.hidden(packSequences([tokens])))).floats();
      };
      const compare = (ours: Float32Array, theirs: Float32Array) => {
        expect(ours.length).toBe(theirs.length);
        let [difference, largest] = [0, 0];
        for (let i = 0; i < ours.length; i++) {
          difference = Math.max(difference, Math.abs(ours[i]! - theirs[i]!));
          largest = Math.max(largest, Math.abs(theirs[i]!));
        }
        return difference / largest;
      };
      const base = await logitsOf(smolLm2());
      const adapted = await logitsOf(smolLm2(), file('adapter'));
      expect(compare(base, adapted)).toBeGreaterThan(0.05);
      expect(compare(adapted, readNpy(file('adapted.npy')).data)).toBeLessThan(1e-4);
      expect(compare(await logitsOf(file('merged')), readNpy(file('merged.npy')).data)).toBeLessThan(1e-4);
      const theirs = JSON.parse(printed.trim().split('\n').at(-1) as string) as { chat: string; ids: number[] };
      const hello = tokenizer.applyChatTemplate([{ role: 'user', content: 'hi' }], { addGenerationPrompt: true });
      expect(theirs.chat).toBe(hello);
      expect(theirs.ids).toEqual(Array.from(await tokenizer.encode(hello, { addSpecialTokens: false })));
    } finally {
      device[Symbol.dispose]();
    }
  });

  describe('served', () => {
    let server: Awaited<ReturnType<typeof serve>>;
    beforeAll(async () => {
      server = await serve('adapter', folder);
    });
    afterAll(() => server.stop());

    const message = 'Intent of: how much money is in my account';

    it('answers both official clients alike', async () => {
      const baseURL = `${server.url}/v1`;
      const client = new OpenAI({ baseURL, apiKey: 'unused', maxRetries: 0 });
      const models = (await client.models.list()).data.map((model) => model.id);
      const model = models[0] as string;
      const greedy = { model, temperature: 0, max_tokens: 24 };
      const messages = [{ role: 'user' as const, content: message }];
      const chat = await client.chat.completions.create({ ...greedy, messages });
      const completion = await client.completions.create({ ...greedy, prompt: 'Once upon a time' });
      let streamed = '';
      for await (const chunk of await client.chat.completions.create({ ...greedy, messages, stream: true })) {
        streamed += chunk.choices[0]?.delta.content ?? '';
      }
      const text = chat.choices[0]?.message.content;
      expect(text).toBe('balance');
      expect(chat.choices[0]?.finish_reason).toBe('stop');
      expect(streamed).toBe(text);
      const theirs = JSON.parse(python('openai_client.py', baseURL, model, message));
      expect(theirs).toEqual({
        models,
        chat: text,
        finish: 'stop',
        streamed: text,
        usage: [chat.usage?.completion_tokens, chat.usage?.completion_tokens],
        completion: completion.choices[0]?.text,
        error: 'model_not_found',
      });
    });
  });
});
