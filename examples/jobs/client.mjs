/**
 * Trains an adapter on a server and asks it: `ADMIN_KEY=... node examples/jobs/client.mjs [http://localhost:8000]`. The official
 * client does the talking, as it would with OpenAI.
 */
import { createReadStream } from 'node:fs';
import OpenAI from 'openai';

const [server = 'http://localhost:8000'] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${server}/v1`, apiKey: process.env.ADMIN_KEY });

const file = await client.files.create({
  file: createReadStream(new URL('../quickstart/data/train.jsonl', import.meta.url)),
  purpose: 'fine-tune',
});
let job = await client.fineTuning.jobs.create({
  model: 'base',
  training_file: file.id,
  suffix: 'commands',
  method: {
    type: 'supervised',
    supervised: { hyperparameters: { batch_size: 16, learning_rate_multiplier: 10 } },
  },
});
const seen = new Set();
while (!['succeeded', 'failed', 'cancelled'].includes(job.status)) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  job = await client.fineTuning.jobs.retrieve(job.id);
  const { data } = await client.fineTuning.jobs.listEvents(job.id, { limit: 100 });
  for (const { id, message } of data.reverse()) {
    if (!seen.has(id)) console.log(message);
    seen.add(id);
  }
}
if (job.status !== 'succeeded') throw new Error(job.error?.message ?? job.status);
const question = 'could you put oat milk on the shopping list for me';
const answer = await client.chat.completions.create({
  model: job.fine_tuned_model,
  temperature: 0,
  messages: [{ role: 'user', content: question }],
});
console.log(`${question}\n${answer.choices[0].message.content}`);
