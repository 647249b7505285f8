import { evaluateErrors } from '../errors.js';
import type { Answer, EvaluatedModel, GenerationRequest, ModelRun, PairScore, ScoredPair } from './evaluated-model.js';

export interface RemoteModelOptions {
  /** Base address of the API, such as http://localhost:8000/v1 */
  readonly url: string;
  /** Name of the model in requests. */
  readonly model: string;
  readonly apiKey?: string;
  /** Requests at the same time. */
  readonly concurrency: number;
  readonly timeoutSeconds: number;
  /** Attempts for a request that the server refuses for the moment (429, 5xx) or does not answer. */
  readonly attempts: number;
}

interface CompletionChoice {
  readonly text?: string;
  readonly delta?: { readonly content?: string | null };
  readonly logprobs?: {
    readonly token_logprobs: readonly (number | null)[];
    readonly text_offset: readonly number[];
    readonly top_logprobs?: readonly (Readonly<Record<string, number>> | null)[];
    readonly tokens: readonly string[];
  } | null;
}
interface Completion {
  readonly choices: readonly CompletionChoice[];
  readonly usage?: { readonly prompt_tokens?: number; readonly completion_tokens?: number } | null;
}

/** A model behind a server that speaks OpenAI's API. */
export class RemoteEvaluatedModel implements EvaluatedModel {
  readonly name: string;

  constructor(private readonly options: RemoteModelOptions) {
    this.name = `${options.model} at ${options.url}`;
  }

  /** Asks for the log-probabilities of the prompt (`echo`), which not every server gives. */
  logLikelihoods(pairs: readonly ScoredPair[], run: ModelRun): Promise<PairScore[]> {
    return this.each(pairs, run, async ({ context, continuation }) => {
      if (typeof context !== 'string') throw evaluateErrors.LF_EVALUATE_SERVER_SCORES({ url: this.options.url });
      const kept = context.trimEnd();
      return this.score(kept + context.slice(kept.length) + continuation, kept.length, run.signal);
    });
  }

  textLogLikelihoods(texts: readonly string[], run: ModelRun): Promise<number[]> {
    return this.each(texts, run, async (text) => (await this.score(text, 0, run.signal)).logLikelihood);
  }

  generate(requests: readonly GenerationRequest[], run: ModelRun): Promise<Answer[]> {
    return this.each(requests, run, (request) => this.answer(request, run.signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  private async score(prompt: string, from: number, signal: AbortSignal): Promise<PairScore> {
    const { model, url } = this.options;
    // One token more than is asked for, as some servers refuse to generate none.
    const body = { model, prompt, max_tokens: 1, temperature: 0, logprobs: 1, echo: true };
    const completion = (await (await this.post('completions', body, signal)).json()) as Completion;
    const logprobs = completion.choices[0]?.logprobs;
    const tokens = logprobs?.token_logprobs ?? [];
    const offsets = logprobs?.text_offset ?? [];
    if (!logprobs || tokens.length < 2 || offsets.length !== tokens.length) {
      throw evaluateErrors.LF_EVALUATE_SERVER_SCORES({ url });
    }
    let logLikelihood = 0;
    let greedy = true;
    // Offsets count characters of the prompt as Python does.
    const start = [...prompt.slice(0, from)].length;
    const end = [...prompt].length;
    for (const [i, logprob] of tokens.entries()) {
      const offset = offsets[i]!;
      if (offset < start || offset >= end || logprob === null) continue;
      logLikelihood += logprob;
      greedy &&= Math.max(...Object.values(logprobs.top_logprobs?.[i] ?? {})) <= logprob;
    }
    return { logLikelihood, greedy };
  }

  private async answer(request: GenerationRequest, signal: AbortSignal): Promise<Answer> {
    const { prompt, until, maxTokens, temperature, topP } = request;
    const chat = typeof prompt !== 'string';
    const body = {
      model: this.options.model,
      ...(chat ? { messages: prompt } : { prompt }),
      max_tokens: maxTokens,
      temperature,
      ...(topP !== undefined && { top_p: topP }),
      // Four are allowed; the rest is cut here.
      ...(until.length > 0 && { stop: until.slice(0, 4) }),
      stream: true,
      stream_options: { include_usage: true },
    };
    const start = performance.now();
    const response = await this.post(chat ? 'chat/completions' : 'completions', body, signal);
    let text = '';
    let pieces = 0;
    let first = 0;
    let usage: Completion['usage'];
    for await (const event of serverSentEvents(response)) {
      const { choices, usage: counted } = JSON.parse(event) as Completion;
      const piece = choices[0]?.text ?? choices[0]?.delta?.content ?? '';
      if (piece !== '') {
        first ||= performance.now() - start;
        pieces++;
        text += piece;
      }
      usage = counted ?? usage;
    }
    const ends = until.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    return {
      text: text.slice(0, Math.min(text.length, ...ends)),
      promptTokens: usage?.prompt_tokens ?? 0,
      tokens: usage?.completion_tokens ?? pieces,
      firstTokenSeconds: first / 1000,
      seconds: (performance.now() - start) / 1000,
    };
  }

  private async post(path: string, body: object, signal: AbortSignal): Promise<Response> {
    const { url, apiKey, timeoutSeconds, attempts } = this.options;
    const address = `${url.replace(/\/+$/, '')}/${path}`;
    for (let attempt = 1; ; attempt++) {
      let reason: string;
      try {
        const response = await fetch(address, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...(apiKey && { authorization: `Bearer ${apiKey}` }) },
          body: JSON.stringify(body),
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutSeconds * 1000)]),
        });
        if (response.ok) return response;
        reason = `${response.status} ${(await response.text()).slice(0, 300)}`;
        if (response.status !== 429 && response.status < 500) attempt = attempts;
      } catch (error) {
        signal.throwIfAborted();
        const { message, cause } = error as Error;
        reason = cause instanceof Error ? `${message} (${cause.message})` : message;
      }
      if (attempt >= attempts) throw evaluateErrors.LF_EVALUATE_SERVER({ address, reason });
      await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt));
      signal.throwIfAborted();
    }
  }

  /** Maps requests, some at a time, in order. The first failure ends all. */
  private async each<T, R>(
    items: readonly T[],
    { signal, onProgress }: ModelRun,
    map: (item: T) => Promise<R>,
  ): Promise<R[]> {
    const results: R[] = new Array(items.length);
    let next = 0;
    let done = 0;
    const work = async () => {
      while (next < items.length) {
        signal.throwIfAborted();
        const index = next++;
        results[index] = await map(items[index]!);
        onProgress?.(++done);
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.options.concurrency, items.length) }, work));
    return results;
  }
}

/** The data of each server-sent event, up to `[DONE]`. */
async function* serverSentEvents(response: Response): AsyncGenerator<string> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) {
      if (!line.startsWith('data:')) continue;
      const data = line.slice(5).trim();
      if (data === '[DONE]') return;
      yield data;
    }
  }
}
