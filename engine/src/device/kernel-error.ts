import { EngineError } from '../errors.js';
import { opName } from './opcodes.js';
import type { CallSite } from './recorder.js';

const REMEDIES: Record<string, string> = {
  LF_BACKEND_INVALID: 'The shapes or data types given to the operation do not fit each other.',
  LF_BACKEND_UNSUPPORTED: 'Choose another data type, or another backend.',
  LF_BACKEND_OUT_OF_MEMORY:
    'Use a smaller batch or sequence length, turn on gradient checkpointing, use LoRA or bf16, or raise the memory limit.',
  LF_BACKEND_IO: 'Check that the file still exists, is complete, and has not changed since it was opened.',
  LF_BACKEND_DEVICE: 'Check that the device and its driver work; "largeforge doctor" shows what was found.',
};

/**
 * The error of a backend as one that names the operation and, when call sites were kept, the call that recorded it. The
 * code stays the backend's: LF_BACKEND_INVALID, _UNSUPPORTED, _OUT_OF_MEMORY, _IO, _DEVICE, _CANCELLED or _INTERNAL.
 */
export function backendError(error: unknown, streams: readonly (readonly CallSite[])[] = []): EngineError {
  if (error instanceof EngineError) return error;
  const { code = 'LF_BACKEND_INTERNAL', op, command } = error as { code?: string; op?: number; command?: number };
  const reason = error instanceof Error ? error.message : String(error);
  const site = streams.flatMap((sites) => sites.filter((s) => s.op === op && s.offset === command))[0]?.stack;
  const name = op === undefined ? '' : opName(op);
  const prefix = name && !reason.startsWith(name) ? `${name}: ` : '';
  const remedy = REMEDIES[code] ?? 'This is a fault of the backend; please report it.';
  const hint =
    op !== undefined && streams.length === 0 ? ' Run again with LARGEFORGE_DEBUG=1 to see which call recorded it.' : '';
  return new EngineError(
    code,
    `${prefix}${reason}${site ? `\n    recorded ${site}` : ''}`,
    remedy + hint,
    1,
    { ...(name && { op: name }), ...(site && { site }) },
    { cause: error },
  );
}
