import { defineErrors } from '@largeforge/core';

export const routerErrors = defineErrors({
  LF_ROUTER_KEYWORD_RULE: {
    message: (a: { expert: string; index: number; reason: string }) =>
      `keyword rule ${a.index} of the expert "${a.expert}" cannot be used: ${a.reason}`,
    remedy: () => 'Give each rule either a "term" or a "pattern" that is a regular expression of JavaScript.',
  },
  LF_ROUTER_NOT_AN_ENCODER: {
    message: (a: { path: string; kind: string }) =>
      `${a.path} is a model of the kind "${a.kind}", not a sentence encoder`,
    remedy: () => 'Name a folder with a BERT-like sentence encoder, such as all-MiniLM-L6-v2.',
  },
  LF_ROUTER_TRAINING_ROWS: {
    message: (a: { reason: string }) => `a router cannot be trained on these rows: ${a.reason}`,
    remedy: () =>
      'Give rows {"text", "expert"} with at least two experts; "expert": null marks a text for none of them.',
  },
  LF_ROUTER_ROWS_FILE: {
    message: (a: { file: string; line: number; reason: string }) => `${a.file}:${a.line}: ${a.reason}`,
    remedy: () => 'Each line is a JSON object {"text": "...", "expert": "..."}; "expert": null marks a text for none.',
  },
  LF_ROUTER_FILE_UNREADABLE: {
    message: (a: { file: string; reason: string }) => `${a.file} cannot be read: ${a.reason}`,
    remedy: () => 'Check the path.',
  },
  LF_ROUTER_ARTIFACT: {
    message: (a: { folder: string; reason: string }) => `${a.folder} is no trained router: ${a.reason}`,
    remedy: () => 'Name the output folder of "largeforge train router", or train again.',
  },
  LF_ROUTER_ENCODER_MISSING: {
    message: (a: { folder: string; path: string }) =>
      `the router ${a.folder} was trained with the sentence encoder ${a.path}, which is not there`,
    remedy: () => 'Give its folder as the encoder, or train again without one.',
  },
  LF_ROUTER_EXPERTS_FILE: {
    message: (a: { file: string; reason: string }) => `the registered experts in ${a.file} cannot be read: ${a.reason}`,
    remedy: () => 'Correct the file, or move it away to begin without them.',
  },
  LF_ROUTER_EXPERTS_UNWRITABLE: {
    message: (a: { file: string; reason: string }) => `the experts cannot be kept in ${a.file}: ${a.reason}`,
    remedy: () => 'Make the file and its folder writable, with room on the disk; the experts are as they were.',
  },
  LF_ROUTER_NO_ANSWER: {
    message: (a: { asked: readonly string[] }) =>
      a.asked.length > 0 ? `no expert could answer (${a.asked.join('; ')})` : 'no expert can be asked now',
    remedy: () => 'Try again later; GET /experts shows which experts are active.',
  },
  LF_ROUTER_DEFAULT_EXPERT: {
    message: (a: { name: string; known: readonly string[] }) =>
      `the default expert "${a.name}" is not registered; registered: ${a.known.join(', ') || 'none'}`,
    remedy: () => 'List it under experts, or name one of these.',
  },
  LF_ROUTER_SERVER_REFUSED: {
    message: (a: { url: string; status: number; reason: string }) => `${a.url} answers ${a.status}: ${a.reason}`,
    remedy: ({ status }) =>
      status === 401 || status === 403
        ? 'Put an admin key of that server into the environment variable that --key-env names.'
        : '"largeforge experts list" shows the experts that the server has.',
  },
  LF_ROUTER_SERVER_UNREACHABLE: {
    message: (a: { url: string; reason: string }) => `${a.url} cannot be reached: ${a.reason}`,
    remedy: () => 'Start "largeforge serve" with the router plugin, or name its address with --server.',
  },
  LF_ROUTER_EXPERT_FILE: {
    message: (a: { file: string; reason: string }) => `${a.file} describes no expert: ${a.reason}`,
    remedy: () =>
      'Write {"name": ...} with the fields that "experts" has in the config; see the router plugin\'s README.',
  },
  LF_ROUTER_REPLAY_ROWS: {
    message: () => '"route replay" needs either --dataset or --decisions',
    remedy: () => 'Give --dataset with rows {"text", "expert"}, or --decisions with the decision log of a server.',
  },
  LF_ROUTER_LOG_SILENT: {
    message: (a: { file: string; decisions: number; scored: number; texts: number }) =>
      `${a.file} has nothing to replay: of ${a.decisions} decisions ${a.scored} have a score and ${a.texts} their query`,
    remedy: () =>
      'Serve with decisionLog {queries: text} and exploration or the bandit, and send scores to POST /route/feedback.',
  },
  LF_ROUTER_LOG: {
    message: (a: { file: string; line: number; reason: string }) =>
      `${a.file}:${a.line} is no entry of a decision log: ${a.reason}`,
    remedy: () => 'Name the file of the option decisionLog; remove the line if a crash cut it.',
  },
});
