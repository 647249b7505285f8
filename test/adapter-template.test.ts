import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import backendCpu from '@largeforge/backend-cpu';
import { Application } from '@largeforge/core';
import { readTokenizerFiles } from '@largeforge/engine';
import { ModelHost } from '@largeforge/generate';
import mergeLora from '@largeforge/merge-lora';
import trainerSft from '@largeforge/trainer-sft';
import { expect, it, onTestFinished } from 'vitest';

const base = fileURLToPath(new URL('../examples/quickstart/base', import.meta.url));
const modules = {
  '@largeforge/backend-cpu': async () => backendCpu,
  '@largeforge/trainer-sft': async () => trainerSft,
  '@largeforge/merge-lora': async () => mergeLora,
};

/** Not the template of the base model; the assistant's turns end as the model's texts do. */
const template =
  "{% for message in messages %}{{ '[' + message.role + ']' + message.content + eos_token }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}";

it('an adapter keeps the chat template that it was trained with: served, trained on and merged, it is used', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'largeforge-template-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const messages = [
    { role: 'user', content: 'say a' },
    { role: 'assistant', content: 'a' },
  ];
  writeFileSync(join(folder, 'rows.jsonl'), `${JSON.stringify({ messages })}\n`.repeat(4));
  writeFileSync(join(folder, 'template.jinja'), template);
  const sft = (more: object) => ({
    stage: 'train',
    use: 'sft',
    with: { model: base, dataset: './rows.jsonl', maxSteps: 1, ...more },
  });
  const config = {
    plugins: Object.keys(modules),
    pipeline: [
      { name: 'tune', ...sft({ dataset: { paths: './rows.jsonl', chatTemplate: './template.jinja' } }) },
      { name: 'more', ...sft({ adapter: '${steps.tune.adapter}' }) },
      { name: 'merge', stage: 'optimize', use: 'merge-lora', with: { adapter: '${steps.more.adapter}' } },
    ],
  };
  writeFileSync(join(folder, 'largeforge.config.json'), JSON.stringify(config));
  const application = await Application.boot({ cwd: folder, modules, env: {}, logLevel: 'silent' });
  onTestFinished(() => application.close());
  const { outputs } = await application.runPipeline();

  const adapter = outputs.get('tune')!.adapter as string;
  expect(readFileSync(join(adapter, 'chat_template.jinja'), 'utf8')).toBe(template);
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) expect(existsSync(join(adapter, file))).toBe(true);
  expect(readTokenizerFiles(outputs.get('more')!.adapter as string)!.chatTemplate).toBe(template);
  expect(readTokenizerFiles(outputs.get('merge')!.model as string)!.chatTemplate).toBe(template);

  const host = new ModelHost(async () => (await application.kernel.registry('backend').auto()).value);
  onTestFinished(() => host.close());
  const { id } = await host.load({ path: adapter });
  const { tokenizer, chatTemplate } = await host.get(id);
  expect(chatTemplate).toBe(template);
  expect(tokenizer.applyChatTemplate([messages[0]!], { addGenerationPrompt: true })).toMatch(
    /^\[user\]say a.*\[assistant\]$/,
  );
});
