/** A client of servers like OpenAI's for benchmarks: prompts that are the same for everybody, and streams with their times. */
import { Agent, request } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });

const WORDS =
  'time people way water word day part sound place year live work back thing man home air line end land'.split(' ');

/** Numbers from a seed, so that all sides get the same prompts. */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** So many words, each of them one token of most tokenizers. */
export const words = (count, random) =>
  Array.from({ length: count }, () => WORDS[Math.floor(random() * WORDS.length)]).join(' ');

/**
 * One streamed completion of exactly `tokens` tokens; seconds to the first of them and to the last, and how many came. The
 * client is Node's own HTTP and not `fetch`: it must not be what is measured.
 */
export function stream(server, prompt, tokens) {
  const body = JSON.stringify({
    model: server.model,
    prompt,
    max_tokens: tokens,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
    ignore_eos: true,
    stop: [],
  });
  const begin = performance.now();
  const seconds = () => (performance.now() - begin) / 1000;
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const call = request(`${server.url}/v1/completions`, { method: 'POST', agent, headers }, (response) => {
      let [first, count, rest, total] = [0, 0, '', 0];
      response.setEncoding('utf8');
      response.on('data', (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop();
        for (const line of lines) {
          if (!line.startsWith('data: {')) continue;
          const { choices = [], usage } = JSON.parse(line.slice(6));
          // An event may carry several tokens; whoever tells the total is believed.
          if (usage) total = usage.completion_tokens;
          if (!choices[0]?.text) continue;
          first ||= seconds();
          count++;
        }
        if (response.statusCode !== 200) rest = text;
      });
      response.on('end', () => {
        if (response.statusCode === 200) resolve({ first, seconds: seconds(), tokens: total || count });
        else reject(new Error(`${server.name}: ${response.statusCode} ${rest}`));
      });
      response.on('error', reject);
    });
    call.on('error', reject);
    call.end(body);
  });
}

export const percentile = (list, share) =>
  [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(share * list.length))];

export const median = (list) => percentile(list, 0.5);
