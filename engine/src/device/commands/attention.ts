import { Op } from '../opcodes.js';
import type { CommandRecorder, Operand } from '../recorder.js';

/** Rotates the first 2 * invFreq.length elements of each head of x [T, H, D]; sign -1 is the backward pass. */
export function rope(
  r: CommandRecorder,
  { sign = 1, interleaved = false, scale = 1 }: { sign?: 1 | -1; interleaved?: boolean; scale?: number },
  t: { x: Operand; positions: Operand; invFreq: Operand; out: Operand },
): void {
  const p = r.begin(Op.ROPE, 3, 4);
  r.ints[p] = sign;
  r.words[p + 1] = interleaved ? 1 : 0;
  r.floats[p + 2] = scale;
  r.operand(t.x);
  r.operand(t.positions);
  r.operand(t.invFreq);
  r.operand(t.out);
}

/** How scores are formed: `window` and `softcap` are off when 0; maxQ and maxK are the longest sequence. */
export interface AttentionParams {
  scale: number;
  causal: boolean;
  window: number;
  softcap: number;
  maxQ: number;
  maxK: number;
}

function attentionParams(r: CommandRecorder, p: number, a: AttentionParams): void {
  r.floats[p] = a.scale;
  r.words[p + 1] = a.causal ? 1 : 0;
  r.words[p + 2] = a.window;
  r.floats[p + 3] = a.softcap;
  r.words[p + 4] = a.maxQ;
  r.words[p + 5] = a.maxK;
}

/** Attention over sequences laid end to end: q [Tq, Hq, D], k and v [Tk, Hkv, D], cu_* [B + 1]; lse f32 [Hq, Tq]. */
export function attention(
  r: CommandRecorder,
  params: AttentionParams,
  t: { q: Operand; k: Operand; v: Operand; cuQ: Operand; cuK: Operand; out: Operand; lse?: Operand },
): void {
  attentionParams(r, r.begin(Op.ATTENTION, 6, 7), params);
  r.operand(t.q);
  r.operand(t.k);
  r.operand(t.v);
  r.operand(t.cuQ);
  r.operand(t.cuK);
  r.operand(t.out);
  r.operand(t.lse);
}

export function attentionBackward(
  r: CommandRecorder,
  params: AttentionParams,
  t: {
    q: Operand;
    k: Operand;
    v: Operand;
    cuQ: Operand;
    cuK: Operand;
    out: Operand;
    lse: Operand;
    dout: Operand;
    dq: Operand;
    dk: Operand;
    dv: Operand;
  },
): void {
  attentionParams(r, r.begin(Op.ATTENTION_BACKWARD, 6, 11), params);
  r.operand(t.q);
  r.operand(t.k);
  r.operand(t.v);
  r.operand(t.cuQ);
  r.operand(t.cuK);
  r.operand(t.out);
  r.operand(t.lse);
  r.operand(t.dout);
  r.operand(t.dq);
  r.operand(t.dk);
  r.operand(t.dv);
}

/** Caches of keys and values [blocks, Hkv, block, D]; those of i8 with scales f32 [blocks, Hkv, block]. */
export interface CacheOperands {
  readonly kCache: Operand;
  readonly vCache: Operand;
  readonly kScale?: Operand;
  readonly vScale?: Operand;
}

/** Writes k and v [T, Hkv, D] to the slots of the caches; a slot of -1 is skipped. */
export function kvWrite(r: CommandRecorder, t: { k: Operand; v: Operand; slots: Operand } & CacheOperands): void {
  r.begin(Op.KV_WRITE, 0, 7);
  r.operand(t.k);
  r.operand(t.v);
  r.operand(t.slots);
  r.operand(t.kCache);
  r.operand(t.vCache);
  r.operand(t.kScale);
  r.operand(t.vScale);
}

/**
 * Causal attention of the new positions of each sequence over its cached ones, the new ones included. `invariant`: bit
 * for bit the same however the new positions are spread over calls.
 */
export function attentionPaged(
  r: CommandRecorder,
  {
    scale,
    window = 0,
    softcap = 0,
    maxQ,
    maxContext,
    invariant = false,
  }: {
    scale: number;
    window?: number;
    softcap?: number;
    maxQ: number;
    maxContext: number;
    invariant?: boolean;
  },
  t: {
    q: Operand;
    blockTable: Operand;
    cuQ: Operand;
    context: Operand;
    out: Operand;
  } & CacheOperands,
): void {
  const p = r.begin(Op.ATTENTION_PAGED, 6, 9);
  r.floats[p] = scale;
  r.words[p + 1] = window;
  r.floats[p + 2] = softcap;
  r.words[p + 3] = maxQ;
  r.words[p + 4] = maxContext;
  r.words[p + 5] = invariant ? 1 : 0;
  r.operand(t.q);
  r.operand(t.kCache);
  r.operand(t.vCache);
  r.operand(t.blockTable);
  r.operand(t.cuQ);
  r.operand(t.context);
  r.operand(t.out);
  r.operand(t.kScale);
  r.operand(t.vScale);
}

/** Copies block pairs[i][0] onto block pairs[i][1]; pairs i32 [n, 2]. */
export function kvCopyBlocks(r: CommandRecorder, t: { pairs: Operand } & CacheOperands): void {
  r.begin(Op.KV_COPY_BLOCKS, 0, 5);
  r.operand(t.kCache);
  r.operand(t.vCache);
  r.operand(t.pairs);
  r.operand(t.kScale);
  r.operand(t.vScale);
}
