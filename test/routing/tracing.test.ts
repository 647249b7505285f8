import { type Context, context, propagation, SpanStatusCode, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ExpertRegistry } from '../../plugins/router-hybrid/src/experts/expert-registry.js';
import { expertSchema } from '../../plugins/router-hybrid/src/experts/expert-settings.js';
import { dispatch } from '../../plugins/router-hybrid/src/serving/dispatch.js';
import { spanned, traceOf } from '../../plugins/router-hybrid/src/serving/tracing.js';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const incoming = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };

/** A server that is no largeforge: tells which headers it was asked with. */
let peer: FastifyInstance;
let asked: (string | undefined)[];
let status: number;
let url: string;
beforeEach(async () => {
  asked = [];
  status = 200;
  peer = Fastify();
  peer.post('/v1/chat/completions', async (request, reply) => {
    asked.push(request.headers.traceparent as string | undefined);
    return reply.code(status).send({ choices: [{ message: { content: 'hello' } }] });
  });
  url = await peer.listen({ port: 0, host: '127.0.0.1' });
});
afterEach(async () => {
  trace.disable();
  propagation.disable();
  context.disable();
  await peer.close();
});

const ask = (chain = ['far']) =>
  dispatch(
    new ExpertRegistry([
      expertSchema.parse({ name: 'far', url: `${url}/v1` }),
      expertSchema.parse({ name: 'other', url: `${url}/v1` }),
    ]),
    chain,
    {
      path: '/chat/completions',
      body: {},
      requestId: 'r',
      ownUrl: '',
      signal: new AbortController().signal,
      trace: traceOf(incoming),
    },
  );

/** Records what is traced; `spans` resolves with it. */
function record() {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  trace.setGlobalTracerProvider(provider);
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  return {
    async spans() {
      await provider.forceFlush();
      return exporter.getFinishedSpans();
    },
  };
}

test('a trace goes on at the expert, also where nobody traces here', async () => {
  (await ask()).end('complete');
  expect(asked).toEqual([incoming.traceparent]);
});

test('decisions and requests to experts are spans of the trace that the request belongs to', async () => {
  const recorded = record();
  await spanned('route', traceOf(incoming), async (span) => void span.setAttribute('largeforge.expert', 'far'));
  (await ask()).end('complete');
  const [route, request] = await recorded.spans();
  expect([route!.name, request!.name]).toEqual(['route', 'ask far']);
  for (const span of [route!, request!]) {
    expect(span.spanContext().traceId).toBe(traceId);
    expect(span.parentSpanContext!.spanId).toBe('b7ad6b7169203331');
    expect(span.attributes['largeforge.expert']).toBe('far');
  }
  expect(request!.attributes['largeforge.outcome']).toBe('complete');
  // The expert's own spans are children of the request's.
  expect(asked).toEqual([`00-${traceId}-${request!.spanContext().spanId}-01`]);
});

test('an expert that fails is a failed span, and so is a decision that throws', async () => {
  const recorded = record();
  status = 500;
  await expect(ask()).rejects.toMatchObject({ code: 'LF_ROUTER_NO_ANSWER' });
  await expect(spanned('route', undefined, () => Promise.reject(new Error('lost')))).rejects.toThrow('lost');
  const spans = await recorded.spans();
  expect(spans.map(({ name }) => name)).toEqual(['ask far', 'ask far', 'route']);
  for (const span of spans) expect(span.status.code).toBe(SpanStatusCode.ERROR);
  expect(spans[0]!.status.message).toContain('500');
});

test('a request without a trace begins one', () => {
  const { headers, context: own } = traceOf({});
  expect(headers).toEqual({});
  expect(trace.getSpan(own as Context)).toBeUndefined();
});
