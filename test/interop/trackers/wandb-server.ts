import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the official client posted. */
export interface Posted {
  /** Variables of the mutation that makes a run. */
  readonly runs: Record<string, unknown>[];
  /** Rows of the history, by the number of their line. */
  readonly history: Map<number, Record<string, unknown>>;
  summary: Record<string, unknown>;
  exitCode: number | undefined;
}

/**
 * A stand-in for the server of Weights & Biases, as far as `wandb sync` talks to it: GraphQL for the run and a stream of
 * lines for its files.
 */
export async function wandbServer(): Promise<{ url: string; posted: Posted; close: () => Promise<void> }> {
  const posted: Posted = { runs: [], history: new Map(), summary: {}, exitCode: undefined };
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      const json = (value: unknown) => {
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(value));
      };
      if (request.url?.startsWith('/graphql')) return json(graphql(JSON.parse(body), posted));
      if (request.url?.includes('/file_stream')) {
        takeStream(JSON.parse(body), posted);
        return json({});
      }
      json({});
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    posted,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

function graphql({ query, variables }: { query: string; variables: Record<string, unknown> }, posted: Posted): unknown {
  if (query.includes('upsertBucket')) {
    posted.runs.push(variables);
    const project = { name: variables.project ?? 'largeforge', entity: { name: 'someone' } };
    const bucket = {
      id: 'storage',
      name: variables.name,
      displayName: variables.displayName,
      config: variables.config,
      project,
    };
    return { data: { upsertBucket: { inserted: true, bucket: { ...bucket, historyLineCount: 0, sweepName: null } } } };
  }
  const viewer = {
    id: '1',
    entity: 'someone',
    username: 'someone',
    email: '',
    admin: false,
    flags: '{}',
    teams: { edges: [] },
  };
  const serverInfo = { cliVersionInfo: { max_cli_version: '99.0.0' }, features: [] };
  if (query.includes('createRunFiles'))
    return { data: { createRunFiles: { runID: 'storage', uploadHeaders: [], files: [] } } };
  return { data: { viewer, serverInfo, model: { bucket: null }, project: null, organization: null } };
}

interface Stream {
  readonly files?: Readonly<Record<string, { readonly offset: number; readonly content: readonly string[] }>>;
  readonly complete?: boolean;
  readonly exitcode?: number;
}

function takeStream({ files = {}, complete, exitcode }: Stream, posted: Posted): void {
  for (const [name, { offset, content }] of Object.entries(files)) {
    if (name === 'wandb-history.jsonl') {
      for (const [i, line] of content.entries()) posted.history.set(offset + i, JSON.parse(line));
    }
    if (name === 'wandb-summary.json') posted.summary = JSON.parse(content.at(-1) as string);
  }
  if (complete) posted.exitCode = exitcode;
}
