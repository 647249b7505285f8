/** One of the texts that an expert gave, in the form of the route that was asked. */
export interface Candidate {
  readonly expert: string;
  /** The choice as the API writes it: of a chat completion, or of a completion. */
  readonly choice: Choice;
  /** The whole answer that it stands in. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Geometric mean of its tokens' probabilities, 0 to 1; 0 where the expert gives none. */
  readonly confidence: number;
}

export interface Choice extends Record<string, unknown> {
  readonly message?: { readonly content?: string | null; readonly tool_calls?: unknown };
  readonly text?: string;
  readonly logprobs?: {
    readonly content?: readonly { readonly logprob: number }[] | null;
    readonly token_logprobs?: readonly (number | null)[];
  } | null;
  readonly finish_reason?: string | null;
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** The choices of an expert's answer. */
export function candidatesOf(expert: string, body: Readonly<Record<string, unknown>>): Candidate[] {
  const choices = Array.isArray(body.choices) ? (body.choices as Choice[]) : [];
  return choices.map((choice) => ({ expert, choice, body, confidence: confidenceOf(choice) }));
}

function confidenceOf({ logprobs }: Choice): number {
  const values = (logprobs?.content?.map(({ logprob }) => logprob) ?? logprobs?.token_logprobs ?? []).filter(
    (value): value is number => typeof value === 'number',
  );
  if (values.length === 0) return 0;
  return Math.exp(values.reduce((sum, value) => sum + value, 0) / values.length);
}

/** What two answers must share to be the same vote: case, white space and final punctuation say nothing. */
export function voteOf({ choice: { message, text } }: Candidate): string {
  if (message?.tool_calls)
    return JSON.stringify(message.tool_calls, (key, value) => (key === 'id' ? undefined : value));
  return (message?.content ?? text ?? '')
    .normalize('NFKC')
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/[\p{P}\s]+$/u, '');
}

/** Tokens of all answers that were asked for: what the answer has cost. */
export function totalUsage(bodies: readonly Readonly<Record<string, unknown>>[]): Usage {
  const total = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
  for (const { usage } of bodies as readonly { usage?: Partial<Usage> }[]) {
    for (const key of Object.keys(total) as (keyof Usage)[]) total[key] += usage?.[key] ?? 0;
  }
  return total;
}
