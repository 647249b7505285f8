import type { AggregateSettings } from '../experts/expert-settings.js';
import type { ExpertAnswer, ExpertCall } from '../serving/attempt.js';
import { ExpertFailure } from '../serving/attempt.js';
import { type Candidate, type Choice, candidatesOf, totalUsage } from './answers.js';
import { asStream } from './as-stream.js';
import { elected, likeliest } from './decide.js';

/** Asks one member; throws ExpertFailure when it cannot answer. */
export type AskMember = (member: string, call: ExpertCall) => Promise<ExpertAnswer>;

type Body = Readonly<Record<string, unknown>>;

/**
 * Makes one answer of those of several experts. Its `usage` counts all of them, and `aggregation` tells who was asked and
 * how sure each was. Members that fail are passed over. Throws ExpertFailure when all of them do.
 * @param expert name of the expert that is made of others
 */
export async function aggregate(
  expert: string,
  settings: AggregateSettings,
  call: ExpertCall,
  ask: AskMember,
): Promise<ExpertAnswer> {
  const { n } = call.body;
  if (typeof n === 'number' && n > 1) return refused(`n must be 1: "${expert}" makes one answer of several`, 'n');
  const asked: Candidate[] = [];
  const failures: string[] = [];
  let mistake: ExpertAnswer | undefined;
  const member = async (name: string): Promise<void> => {
    try {
      let answer = await ask(name, { ...call, body: memberBody(call, settings, true) });
      // Not every server knows probabilities. A request that is wrong in itself is told so once more.
      if (answer.kind === 'body' && answer.status >= 400 && !wantsLogprobs(call.body)) {
        answer = await ask(name, { ...call, body: memberBody(call, settings, false) });
      }
      // A request that is wrong for one of them is the client's mistake.
      if (answer.kind !== 'body' || answer.status >= 400) mistake ??= answer;
      else asked.push(...candidatesOf(name, answer.body));
    } catch (error) {
      if (!(error instanceof ExpertFailure)) throw error;
      failures.push(`${name}: ${error.message}`);
    }
  };
  const chosen = await choose(settings, asked, member);
  if (!chosen) {
    if (mistake) return mistake;
    throw new ExpertFailure(expert, `none of its members answered (${failures.join('; ')})`);
  }
  const body = joined(expert, settings.method, chosen, asked, call.body);
  if (call.body.stream !== true) return { kind: 'body', status: 200, body };
  const { include_usage: includeUsage } = (call.body.stream_options ?? {}) as { include_usage?: boolean };
  return { kind: 'stream', events: asStream(body, includeUsage === true) };
}

async function choose(
  settings: AggregateSettings,
  asked: readonly Candidate[],
  member: (name: string) => Promise<void>,
): Promise<Candidate | undefined> {
  if (settings.method === 'cascade') {
    for (const name of settings.members) {
      await member(name);
      const last = asked.at(-1);
      if (last?.expert === name && last.confidence >= settings.confidence) return last;
    }
    return asked.at(-1);
  }
  await Promise.all(settings.members.map(member));
  return settings.method === 'vote' ? elected(asked, settings.weights) : likeliest(asked);
}

/** What a member is asked: a whole answer, with the probabilities of its tokens where it gives them. */
function memberBody({ path, body }: ExpertCall, settings: AggregateSettings, sure: boolean): Body {
  const { stream: _, stream_options: __, ...rest } = body;
  const logprobs = path === '/chat/completions' ? true : (body.logprobs ?? 1);
  return { ...rest, ...(sure && { logprobs }), ...(settings.method === 'best-of-n' && { n: settings.n }) };
}

const wantsLogprobs = ({ logprobs }: Body): boolean => typeof logprobs === 'number' || logprobs === true;

function joined(
  expert: string,
  method: AggregateSettings['method'],
  chosen: Candidate,
  asked: readonly Candidate[],
  request: Body,
): Record<string, unknown> {
  const choice: Choice = { ...chosen.choice, index: 0, ...(!wantsLogprobs(request) && { logprobs: null }) };
  return {
    ...chosen.body,
    model: expert,
    choices: [choice],
    usage: totalUsage([...new Set(asked.map(({ body }) => body))]),
    aggregation: {
      method,
      expert: chosen.expert,
      asked: asked.map(({ expert: name, confidence }) => ({ expert: name, confidence })),
    },
  };
}

function refused(message: string, param: string): ExpertAnswer {
  return {
    kind: 'body',
    status: 400,
    body: { error: { message, type: 'invalid_request_error', param, code: 'invalid_value' } },
  };
}
