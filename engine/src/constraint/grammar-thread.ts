/** The thread that holds XGrammar: compiles grammars and works out which tokens may follow. */
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { CompiledGrammar, Grammar, GrammarCompiler, GrammarMatcher } from '@mlc-ai/web-xgrammar';
import type { GrammarSpec } from './grammar-spec.js';
import type { GrammarReply, GrammarRequest, GrammarThreadData } from './messages.js';

type XGrammar = typeof import('@mlc-ai/web-xgrammar');

/** The package is a script for browsers that calls itself a module: it looks for `require` and leaves a global behind. */
async function loadXGrammar(): Promise<XGrammar> {
  const globals = globalThis as { require?: unknown; xgrammar?: XGrammar };
  const require = createRequire(import.meta.url);
  globals.require = require;
  Object.assign(globalThis, { __filename: require.resolve('@mlc-ai/web-xgrammar') });
  await import('@mlc-ai/web-xgrammar');
  if (!globals.xgrammar) throw new Error('@mlc-ai/web-xgrammar did not load');
  return globals.xgrammar;
}

const { vocabulary } = workerData as GrammarThreadData;
const loaded = start();

async function start(): Promise<{ xgrammar: XGrammar; compiler?: GrammarCompiler }> {
  const xgrammar = await loadXGrammar();
  if (!vocabulary) return { xgrammar };
  const info = await xgrammar.TokenizerInfo.createTokenizerInfo(
    [...vocabulary.tokens],
    'byte_level',
    false,
    vocabulary.vocabSize,
    [...vocabulary.stop],
  );
  return { xgrammar, compiler: await xgrammar.GrammarCompiler.createGrammarCompiler(info) };
}

/**
 * White space between two tokens of JSON: room for a line end and ten levels of indentation. Models that know no better
 * would go on with it until their tokens are used up.
 */
const mostWhitespace = 21;

function parse({ Grammar }: XGrammar, spec: GrammarSpec): Promise<Grammar> {
  switch (spec.kind) {
    case 'json':
      return Grammar.builtinJSONGrammar();
    case 'json-schema':
      return Grammar.fromJSONSchema(JSON.stringify(spec.schema), true, undefined, undefined, true, mostWhitespace);
    case 'regex':
      return Grammar.fromStructuralTag({ type: 'regex', pattern: spec.pattern });
    case 'grammar':
      return Grammar.fromEBNF(spec.ebnf);
    case 'structural-tag':
      return Grammar.fromStructuralTag(spec.format as Record<string, unknown>);
  }
}

const matchers = new Map<number, { matcher: GrammarMatcher; compiled: CompiledGrammar }>();

async function maskOf(matcher: GrammarMatcher): Promise<Uint32Array> {
  const bits = await matcher.getNextTokenBitmask();
  return new Uint32Array(bits.buffer, bits.byteOffset, bits.length).slice();
}

async function answer(request: GrammarRequest): Promise<Uint32Array | undefined> {
  const { xgrammar, compiler } = await loaded;
  switch (request.call) {
    case 'check': {
      (await parse(xgrammar, request.spec)).dispose();
      return undefined;
    }
    case 'open': {
      const grammar = await parse(xgrammar, request.spec);
      const compiled = await compiler!.compileGrammar(grammar);
      grammar.dispose();
      const matcher = await xgrammar.GrammarMatcher.createGrammarMatcher(compiled);
      matchers.set(request.matcher, { matcher, compiled });
      return maskOf(matcher);
    }
    case 'advance': {
      const entry = matchers.get(request.matcher);
      if (!entry) return undefined; // it was closed while this call was on its way
      if (!entry.matcher.acceptToken(request.token)) throw new Error(`token ${request.token} is not allowed here`);
      return maskOf(entry.matcher);
    }
    case 'close': {
      const entry = matchers.get(request.matcher);
      matchers.delete(request.matcher);
      entry?.matcher.dispose();
      entry?.compiled.dispose();
      return undefined;
    }
  }
}

// One call after the other: the answers of `open` and `advance` depend on what came before.
let last: Promise<void> = Promise.resolve();
parentPort!.on('message', (request: GrammarRequest) => {
  last = last.then(async () => {
    let reply: GrammarReply;
    try {
      const mask = await answer(request);
      reply = { id: request.id, ...(mask && { mask }) };
    } catch (error) {
      reply = { id: request.id, error: error instanceof Error ? error.message : String(error) };
    }
    parentPort!.postMessage(reply, reply.mask ? [reply.mask.buffer as ArrayBuffer] : []);
  });
});
