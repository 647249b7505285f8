export interface Announcement {
  readonly url: string;
  readonly model: string;
  /** Whether the model can chat. */
  readonly chat: boolean;
  /** Whether requests need a key. */
  readonly keyed: boolean;
}

/** What a person who started a server wants to paste. */
export function announcement({ url, model, chat, keyed }: Announcement): string[] {
  const path = chat ? 'chat/completions' : 'completions';
  const input = chat ? `"messages": [{"role": "user", "content": "Hello"}]` : `"prompt": "Once upon a time"`;
  const key = keyed ? '$LARGEFORGE_API_KEY' : 'none';
  const authorization = keyed ? ` -H "Authorization: Bearer ${key}"` : '';
  const call = chat ? 'chat.completions' : 'completions';
  const argument = chat ? `messages: [{ role: 'user', content: 'Hello' }]` : `prompt: 'Once upon a time'`;
  const pythonArgument = chat ? `messages=[{"role": "user", "content": "Hello"}]` : `prompt="Once upon a time"`;
  const secret = keyed
    ? { node: 'process.env.LARGEFORGE_API_KEY', python: 'os.environ["LARGEFORGE_API_KEY"]' }
    : { node: `'none'`, python: '"none"' };
  return [
    `Serving ${model} on ${url}  (API: ${url}/docs, health: ${url}/health; Ctrl-C ends it)`,
    '',
    `  curl ${url}/v1/${path} -H 'Content-Type: application/json'${authorization} \\`,
    `    -d '{"model": "${model}", ${input}}'`,
    '',
    `  // Node: npm install openai`,
    `  import OpenAI from 'openai';`,
    `  const client = new OpenAI({ baseURL: '${url}/v1', apiKey: ${secret.node} });`,
    `  console.log(await client.${call}.create({ model: '${model}', ${argument} }));`,
    '',
    `  # Python: pip install openai`,
    `  ${keyed ? 'import os\n  ' : ''}from openai import OpenAI`,
    `  client = OpenAI(base_url="${url}/v1", api_key=${secret.python})`,
    `  print(client.${call}.create(model="${model}", ${pythonArgument}))`,
  ];
}
