import { currentTape } from '../autograd/tape.js';
import * as commands from '../device/commands/index.js';
import { Tensor } from '../tensor/tensor.js';

export interface RopeOptions {
  /** Pairs (2i, 2i + 1) instead of (i, i + half). */
  readonly interleaved?: boolean;
  /** What cos and sin are multiplied by (YaRN's attention factor). */
  readonly scale?: number;
}

/**
 * Rotates each head of x [T, H, D] by its position. It works in place: x's memory holds the result, and x must not be
 * read afterwards.
 */
export function rope(x: Tensor, positions: Tensor, invFreq: Tensor, { interleaved, scale }: RopeOptions = {}): Tensor {
  const { recorder } = x.device;
  const out = x.renamed();
  commands.rope(recorder, { interleaved, scale }, { x, positions, invFreq, out });
  const tape = currentTape();
  if (tape && x.requiresGrad) {
    tape.record({
      name: 'rope',
      inputs: [x],
      outputs: [out],
      saved: [positions, invFreq],
      backward(gradients, [savedPositions, savedInvFreq]) {
        const dx = Tensor.empty(x.device, x.shape, x.dtype);
        commands.rope(
          recorder,
          { sign: -1, interleaved, scale },
          { x: gradients.of(out)!, positions: savedPositions!, invFreq: savedInvFreq!, out: dx },
        );
        gradients.add(x, dx);
      },
    });
  }
  return out;
}

export interface AttentionOptions {
  /** i32 [B + 1]: where each sequence begins. Keys and values have the same. */
  readonly cuSeqlens: Tensor;
  readonly maxSeqlen: number;
  /** 1 / sqrt(D) unless given. */
  readonly scale?: number;
  readonly causal: boolean;
  /** A query sees keys less than this many positions before it; 0 is unlimited. */
  readonly window?: number;
  readonly softcap?: number;
}

/** Attention inside of each sequence: q [T, Hq, D], k and v [T, Hkv, D] to [T, Hq, D]. */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { device } = q;
  const [rows, heads, headDim] = q.shape as [number, number, number];
  const { cuSeqlens, maxSeqlen, causal, window = 0, softcap = 0, scale = 1 / Math.sqrt(headDim) } = options;
  const params = { scale, causal, window, softcap, maxQ: maxSeqlen, maxK: maxSeqlen };
  const tape = currentTape();
  const tracked = tape !== undefined && (q.requiresGrad || k.requiresGrad || v.requiresGrad);
  const out = Tensor.empty(device, q.shape, q.dtype);
  const lse = tracked ? Tensor.empty(device, [heads, rows], 'f32') : undefined;
  commands.attention(device.recorder, params, { q, k, v, cuQ: cuSeqlens, cuK: cuSeqlens, out, lse });
  if (!tracked) return out;
  tape.record({
    name: 'attention',
    inputs: [q, k, v],
    outputs: [out],
    saved: [q, k, v, cuSeqlens, out, lse],
    backward(gradients, [savedQ, savedK, savedV, cu, savedOut, savedLse]) {
      const dq = Tensor.empty(device, q.shape, q.dtype);
      const dk = Tensor.empty(device, k.shape, k.dtype);
      const dv = Tensor.empty(device, v.shape, v.dtype);
      commands.attentionBackward(device.recorder, params, {
        q: savedQ!,
        k: savedK!,
        v: savedV!,
        cuQ: cu!,
        cuK: cu!,
        out: savedOut!,
        lse: savedLse!,
        dout: gradients.of(out)!,
        dq,
        dk,
        dv,
      });
      for (const [input, gradient] of [
        [q, dq],
        [k, dk],
        [v, dv],
      ] as const) {
        if (gradients.wants(input)) gradients.add(input, gradient);
      }
    },
  });
  lse?.dispose();
  return out;
}
