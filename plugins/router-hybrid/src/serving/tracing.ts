import { type Context, context, propagation, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

/**
 * Spans by OpenTelemetry's API: they go where the process's own SDK sends them, and nowhere without one.
 */
const tracer = () => trace.getTracer('@largeforge/router-hybrid');

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** W3C Trace Context: what an expert is told of a trace when no SDK is there to do it. */
const traceHeaders = ['traceparent', 'tracestate'] as const;

/** The trace that a request belongs to. */
export interface RequestTrace {
  readonly context: Context;
  /** Headers of the request that tell of it. */
  readonly headers: Readonly<Record<string, string>>;
}

export function traceOf(headers: Headers): RequestTrace {
  const own: Record<string, string> = {};
  for (const name of traceHeaders) if (typeof headers[name] === 'string') own[name] = headers[name];
  return { context: propagation.extract(context.active(), headers), headers: own };
}

/** Times a piece of work as a span of a request's trace; an error that it throws is the span's too. */
export async function spanned<Result>(
  name: string,
  request: RequestTrace | undefined,
  work: (span: Span) => Promise<Result>,
): Promise<Result> {
  const span = tracer().startSpan(name, {}, request?.context);
  try {
    return await work(span);
  } catch (error) {
    failSpan(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** A request to an expert as a span, and the headers by which the expert goes on with the trace. */
export function expertSpan(
  expert: string,
  model: string,
  request: RequestTrace | undefined,
): { readonly span: Span; readonly headers: Readonly<Record<string, string>> } {
  const attributes = { 'largeforge.expert': expert, 'gen_ai.request.model': model };
  const parent = request?.context ?? context.active();
  const span = tracer().startSpan(`ask ${expert}`, { kind: SpanKind.CLIENT, attributes }, parent);
  const headers = { ...request?.headers };
  propagation.inject(trace.setSpan(parent, span), headers);
  return { span, headers };
}

export function failSpan(span: Span, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}
