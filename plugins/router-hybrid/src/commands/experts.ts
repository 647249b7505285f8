import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type CommandContext, type CommandDefinition, reasonOf } from '@largeforge/core';
import { parse } from 'yaml';
import { routerErrors } from '../errors.js';

interface ServerFlags {
  readonly server: string;
  readonly keyEnv: string;
}

const serverOptions = [
  { flags: '--server <url>', description: 'the running server', default: 'http://127.0.0.1:8000' },
  {
    flags: '--key-env <name>',
    description: 'environment variable with an admin key of it',
    default: 'LARGEFORGE_ADMIN_KEY',
  },
];

/** Calls a running server. Throws LF_ROUTER_SERVER_UNREACHABLE and LF_ROUTER_SERVER_REFUSED. */
async function call(
  { server, keyEnv }: ServerFlags,
  method: string,
  path: string,
  signal: AbortSignal,
  body?: unknown,
): Promise<unknown> {
  const url = `${server.replace(/\/+$/, '')}${path}`;
  const key = process.env[keyEnv];
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      headers: {
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal,
    });
    text = await response.text();
  } catch (error) {
    signal.throwIfAborted();
    const { cause } = error as Error;
    const reason = reasonOf(cause instanceof Error ? cause : error);
    throw routerErrors.LF_ROUTER_SERVER_UNREACHABLE({ url: server, reason }, { cause: error });
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw routerErrors.LF_ROUTER_SERVER_REFUSED({ url, status: response.status, reason: 'its answer is no JSON' });
  }
  if (response.ok) return content;
  const { message } = (content as { error?: { message?: unknown } }).error ?? {};
  throw routerErrors.LF_ROUTER_SERVER_REFUSED({
    url,
    status: response.status,
    reason: typeof message === 'string' ? message : 'no reason',
  });
}

/** `largeforge experts list | show | add | remove`: the experts of a running server, as lines of JSON. */
export function expertsCommands(output: NodeJS.WritableStream): CommandDefinition<CommandContext>[] {
  const print = (value: unknown) => output.write(`${JSON.stringify(value)}\n`);
  const nameOption = { flags: '--name <name>', description: 'the expert', required: true };
  const flagsOf = (options: Readonly<Record<string, unknown>>) => options as unknown as ServerFlags & { name: string };
  return [
    {
      name: 'experts list',
      summary: 'list the experts of a running server',
      description: 'Prints a JSON line for each expert: name, description, domains, status, load.',
      examples: ['largeforge experts list --server http://10.0.0.1:8000'],
      options: serverOptions,
      async run({ options }, { signal }) {
        const { experts } = (await call(flagsOf(options), 'GET', '/experts', signal)) as { experts: unknown[] };
        for (const expert of experts) print(expert);
      },
    },
    {
      name: 'experts show',
      summary: 'show all about an expert of a running server',
      description: 'Prints one JSON line: its settings, latency, circuit and what is wrong with it.',
      examples: ['largeforge experts show --name code'],
      options: [nameOption, ...serverOptions],
      async run({ options }, { signal }) {
        const flags = flagsOf(options);
        print(await call(flags, 'GET', `/experts/${encodeURIComponent(flags.name)}`, signal));
      },
    },
    {
      name: 'experts add',
      summary: 'register an expert with a running server, or replace it',
      description:
        'Reads the expert from a YAML or JSON file: the fields that an entry of "experts" has in the config.',
      examples: ['largeforge experts add --file code.yaml', 'largeforge experts add --file code.json --replace'],
      options: [
        { flags: '--file <path>', description: 'what the expert is', required: true },
        { flags: '--replace', description: 'replaces an expert of its name' },
        ...serverOptions,
      ],
      async run({ options }, { cwd, signal }) {
        const file = resolve(cwd, options.file as string);
        const expert = readExpert(file);
        const path = options.replace ? `/experts/${encodeURIComponent(expert.name)}` : '/experts';
        print(await call(flagsOf(options), options.replace ? 'PUT' : 'POST', path, signal, expert));
      },
    },
    {
      name: 'experts remove',
      summary: 'remove an expert from a running server when its requests have ended',
      description: 'Prints one JSON line with how many requests still ran when the time to wait was up.',
      examples: ['largeforge experts remove --name code'],
      options: [nameOption, ...serverOptions],
      async run({ options }, { signal }) {
        const flags = flagsOf(options);
        print(await call(flags, 'DELETE', `/experts/${encodeURIComponent(flags.name)}`, signal));
      },
    },
  ];
}

/** The server checks the rest. */
function readExpert(file: string): { readonly name: string } {
  let value: unknown;
  try {
    value = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw routerErrors.LF_ROUTER_EXPERT_FILE({ file, reason: reasonOf(error) }, { cause: error });
  }
  if (typeof (value as { name?: unknown } | null)?.name === 'string') return value as { name: string };
  throw routerErrors.LF_ROUTER_EXPERT_FILE({ file, reason: 'it has no "name"' });
}
