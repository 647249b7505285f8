/*
 * LargeForge backend ABI, version 1.0.
 *
 * A compute backend is a shared library that exports one symbol, `lf_backend_entry`, which returns a table of
 * functions. The N-API binding, the conformance kit and every tool know only this header; a backend may be written
 * in any language that can export C functions.
 *
 * Rules of the interface
 *  - Memory is named by handles. No function hands out a device pointer, and none keeps a host pointer beyond the
 *    time that its contract states. The host reads device memory only through `queue_read`.
 *  - A queue runs what it is given in order. Two queues are ordered only by events.
 *  - A buffer that is freed stays readable for work already given to a queue (frees are ordered with the queue).
 *  - Nothing throws, aborts, exits or prints. A function that can fail returns `lf_error*`, NULL on success; the
 *    caller frees it with `error_free`. Failures of queued work arrive with the event that follows it.
 *  - `struct_size` is the first member of every struct that may grow. A reader uses only members within it.
 *  - Layouts other than LF_LAYOUT_STRIDED are private to the backend and never leave it.
 */
#ifndef LARGEFORGE_BACKEND_H
#define LARGEFORGE_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LF_ABI_MAJOR 1u
#define LF_ABI_MINOR 0u

#if defined(_WIN32)
#define LF_EXPORT __declspec(dllexport)
#else
#define LF_EXPORT __attribute__((visibility("default")))
#endif

/* ------------------------------------------------------------------------------------------------ data types -- */

typedef enum lf_dtype {
  LF_F32 = 0,
  LF_BF16 = 1,
  LF_F16 = 2,
  LF_F64 = 3,
  LF_I32 = 4,
  LF_I64 = 5,
  LF_U8 = 6,
  LF_I8 = 7,
  LF_U32 = 8,
  /* Integer codes with a scale (and zero) per group, used by packed weights and by quantised sources of PACK. */
  LF_I4 = 9,
  /* GGUF block formats; a row is a whole number of blocks. Names and layouts as in ggml. */
  LF_Q4_0 = 16,
  LF_Q4_1 = 17,
  LF_Q5_0 = 18,
  LF_Q5_1 = 19,
  LF_Q8_0 = 20,
  LF_Q4_K = 21,
  LF_Q5_K = 22,
  LF_Q6_K = 23,
  /* Weights of GPTQ, AWQ and their like: blocks of 32 codes of 4 bits, f16 scale, u8 zero, u8 unused, 16 bytes of codes in
   * the order of Q4_0; an element is scale * (code - zero), zero up to 16. */
  LF_Q4_Z = 24
} lf_dtype;

typedef enum lf_layout {
  LF_LAYOUT_STRIDED = 0,
  /* A weight [N, K] laid out by the backend for y = x * W^T (LINEAR, CROSS_ENTROPY). */
  LF_LAYOUT_PACKED_FORWARD = 1,
  /* The same weight laid out for dx = dy * W (LINEAR_BACKWARD_INPUT). */
  LF_LAYOUT_PACKED_BACKWARD = 2
} lf_layout;

#define LF_MAX_RANK 4

/*
 * Describes an operand of a command: 64 bytes. `buffer` 0 means "operand absent". `offset` is in bytes. Strides are
 * in elements; a stride of 0 broadcasts. Block formats are contiguous, and only their shape counts. For a packed
 * layout, shape is the logical [N, K], dtype that of the stored weight, and strides are ignored.
 * `scale_operand` and `zero_operand` are the index plus one of the operands of the same command that hold the
 * scales [N, K/group] and zeros of a quantised tensor; 0 means none.
 */
typedef struct lf_tensor {
  uint32_t buffer;
  uint8_t dtype;
  uint8_t layout;
  uint8_t rank;
  uint8_t flags;
  uint64_t offset;
  uint32_t shape[LF_MAX_RANK];
  uint32_t stride[LF_MAX_RANK];
  uint32_t group;
  uint16_t scale_operand;
  uint16_t zero_operand;
  uint32_t reserved[2];
} lf_tensor;

/* --------------------------------------------------------------------------------------------------- commands -- */

/*
 * A command stream is a sequence of commands, each
 *   lf_command | param_words 32-bit parameters, padded to a multiple of 4 words | tensor_count lf_tensor
 * `bytes` is the length of the whole command and a multiple of 16. The stream starts 16-byte aligned.
 * Parameters are listed after each op in order, all 32 bits wide: u = uint32, i = int32, f = float. A parameter
 * word that a newer op version adds is read as 0 when param_words is smaller.
 * Operands are listed in order; `?` may be absent, `*` is written, `+` is added to (read and written).
 */
typedef struct lf_command {
  uint32_t op;
  uint32_t bytes;
  uint32_t param_words;
  uint32_t tensor_count;
} lf_command;

typedef enum lf_op {
  /* ---- data movement and primitives. Float operands may be f32, bf16 or f16, of any strides. ---- */

  /* params: u bytes; then the bytes themselves (padded). operands: dst*. Writes inline host data, at most 64 KiB. */
  LF_OP_WRITE = 1,
  /* params: f value. operands: dst*. */
  LF_OP_FILL = 2,
  /* operands: src, dst*. Element-wise copy with conversion; equal shapes. src may be a block format (dequantise). */
  LF_OP_COPY = 3,
  /* params: u kind (lf_binary), f alpha, f beta. operands: a, b, out*. out = kind(alpha * a, beta * b). */
  LF_OP_BINARY = 4,
  /* params: u kind (lf_unary). operands: x, out*. */
  LF_OP_UNARY = 5,
  /* params: u kind (lf_unary). operands: x, dy, dx*. Gradient of UNARY for the activation kinds. */
  LF_OP_UNARY_BACKWARD = 6,
  /* params: u kind (lf_reduce), u accumulate. operands: x, out+ f32. Over the last dimension when out has the shape
   * of x without it; over everything when out has one element. The order of summation does not depend on threads. */
  LF_OP_REDUCE = 7,
  /* params: u kind (lf_random), f a, f b, u seed_lo, u seed_hi, u stream, u accumulate. operands: out+.
   * Philox4x32-10 keyed by the seed; element i of the contiguous index space uses counter (i/4, stream).
   * UNIFORM in [a, b); NORMAL with mean a and deviation b (Box-Muller). */
  LF_OP_RANDOM = 8,
  /* params: f p, u seed_lo, u seed_hi, u stream. operands: x, out*. out = x * keep / (1 - p); element i is kept when
   * its Philox uniform (as in RANDOM) is >= p. The same command applied to a gradient is the backward pass. */
  LF_OP_DROPOUT = 9,
  /* operands: x [R, C], out* [R, C]. Softmax of each row. */
  LF_OP_SOFTMAX = 10,

  /* ---- embedding ---- */

  /* params: f scale, u accumulate. operands: ids i32 [T], table [V, D] (float or block format), out+ [T, D].
   * An id outside of the table is an error. Serves as gather-rows for any table. */
  LF_OP_EMBEDDING = 16,
  /* params: f scale. operands: ids i32 [T], dout [T, D], dtable+ f32 [V, D]. Adds in the order of t. An id of -1 is
   * skipped. */
  LF_OP_EMBEDDING_BACKWARD = 17,
  /* operands: x [M, K], index i32 [N], out* [M, N]. out[m, n] = x[m, index[n]]; an index outside of x is an error. */
  LF_OP_GATHER_COLUMNS = 18,

  /* ---- normalisation. x is [T, D] or [T, H, D]; each row of the last dimension is one vector. ---- */

  /* params: f eps, f weight_offset. operands: x, residual?, weight [D], y*, sum*?, rstd*? f32 [rows].
   * sum = x + residual; y = sum / sqrt(mean(sum^2) + eps) * (weight + weight_offset). */
  LF_OP_RMS_NORM = 24,
  /* params: f weight_offset. operands: dy, h (= sum), weight, rstd, dh_in?, dx*, dweight+? f32.
   * dx = d(loss)/dh + dh_in: the gradient of both x and residual. */
  LF_OP_RMS_NORM_BACKWARD = 25,
  /* params: f eps. operands: x, residual?, weight, bias?, y*, sum*?, mean*? f32 [rows], rstd*? f32 [rows]. */
  LF_OP_LAYER_NORM = 26,
  /* operands: dy, h, weight, mean, rstd, dh_in?, dx*, dweight+? f32, dbias+? f32. */
  LF_OP_LAYER_NORM_BACKWARD = 27,

  /* ---- matrix products. math (lf_math) says in which precision products are formed; sums are f32. ---- */

  /* params: u trans_a, u trans_b, f alpha, f beta, u math. operands: a, b, c+ [M, N].
   * c = alpha * op(a) op(b) + beta * c, op(a) [M, K], op(b) [K, N]. beta 0 does not read c. */
  LF_OP_MATMUL = 32,
  /* params: f lora_scale, f beta, u math, u activation (lf_unary, 0 none).
   * operands: x [M, K], w [N, K], bias? [N], y+ [M, N], lora_x? [M, K], lora_a? [r, K], lora_b? [N, r],
   *           lora_xa*? [M, r], adapter? i32 [M].
   * y = activation(x w^T + bias + lora_scale * (lora_x lora_a^T) lora_b^T) + beta * y. lora_x defaults to x.
   * lora_xa receives lora_x lora_a^T. With `adapter`, lora_a is [n, r, K], lora_b [n, N, r], row m uses adapter[m]
   * (-1: none) and lora_scale multiplies what the caller folded into lora_b. w is strided float, a block format, or
   * packed forward. */
  LF_OP_LINEAR = 33,
  /* params: f lora_scale, f beta, u math.
   * operands: dy [M, N], w [N, K] (strided float or packed backward), dx+ [M, K], lora_a? [r, K], lora_b? [N, r],
   *           lora_dxa*? [M, r], lora_dx*? [M, K].
   * dx = dy w + beta * dx. lora_dxa = lora_scale * dy lora_b; its product with lora_a is added to dx, or written to
   * lora_dx when that is present (LoRA dropout separates the two inputs). */
  LF_OP_LINEAR_BACKWARD_INPUT = 34,
  /* params: f alpha, f beta, u math. operands: x [M, K], dy [M, N], dw+? f32 [N, K], dbias+? f32 [N].
   * dw = alpha * dy^T x + beta * dw; dbias = alpha * column sums of dy + beta * dbias. */
  LF_OP_LINEAR_BACKWARD_WEIGHT = 35,
  /* operands: src [N, K], dst* (packed layout), scales?, zeros?, group_index?. Lays a weight out for LINEAR or
   * LINEAR_BACKWARD_INPUT as dst.layout says. src is strided float, a block format, or integer codes. dst.dtype is
   * the precision kept; its size comes from `packed_size`. A block format is kept forward in its own bits when dst.dtype
   * is src.dtype; of Q4_Z then dst.group, a multiple of 32, says how many elements share a scale and a zero (0: 32). */
  LF_OP_PACK = 36,
  /* params: u math. operands: x [M, K], offsets i32 [E+1], w [E, N, K] (strided float), y* [M, N].
   * Rows offsets[e]..offsets[e+1] of y are those of x times w[e]^T. Offsets rise from 0 to M. */
  LF_OP_GROUPED_LINEAR = 37,
  /* params: u math. operands: dy [M, N], offsets i32 [E+1], w [E, N, K], dx* [M, K]. dx = dy w[e] in each group. */
  LF_OP_GROUPED_LINEAR_BACKWARD_INPUT = 38,
  /* params: f beta, u math. operands: x [M, K], dy [M, N], offsets i32 [E+1], dw+ f32 [E, N, K].
   * dw[e] = dy^T x over the rows of the group + beta * dw[e]. */
  LF_OP_GROUPED_LINEAR_BACKWARD_WEIGHT = 39,

  /* ---- attention ---- */

  /* params: i sign (1 forward, -1 backward), u interleaved, f scale.
   * operands: x [T, H, D], positions i32 [T], inv_freq f32 [rot/2] or [T, rot/2], out* [T, H, D] (may be x).
   * Rotates the first rot elements of each head: pairs (i, i + rot/2), or (2i, 2i + 1) when interleaved. cos and sin
   * are multiplied by scale; the rest is copied. */
  LF_OP_ROPE = 48,
  /* params: f scale, u causal, u window, f softcap, u max_q, u max_k.
   * operands: q [Tq, Hq, D], k [Tk, Hkv, D], v [Tk, Hkv, D], cu_q i32 [B+1], cu_k i32 [B+1], out* [Tq, Hq, D],
   *           lse*? f32 [Hq, Tq].
   * Sequence b has queries cu_q[b]..cu_q[b+1] and keys cu_k[b]..cu_k[b+1]; the last query is aligned with the last
   * key. causal: key position <= query position; window > 0: query position - key position < window. A query that
   * sees no key gives zeros. softcap > 0: scores = softcap * tanh(scores / softcap). Head h reads KV head
   * h / (Hq / Hkv). lse = log sum exp of the scaled scores. */
  LF_OP_ATTENTION = 49,
  /* params as ATTENTION. operands: q, k, v, cu_q, cu_k, out, lse, dout, dq*, dk*, dv*. */
  LF_OP_ATTENTION_BACKWARD = 50,
  /* operands: k [T, Hkv, D], v [T, Hkv, D], slots i32 [T], k_cache+ [blocks, Hkv, block, D], v_cache+ (same),
   *           k_scale+?, v_scale+? f32 [blocks, Hkv, block].
   * Row t goes to block slots[t] / block, position slots[t] % block; -1 is skipped. Caches are float, or i8 with scales: a
   * head of a row is kept as scale * code, rounded as in LF_MATH_INT8 with all of its D elements as one group. */
  LF_OP_KV_WRITE = 51,
  /* params: f scale, u window, f softcap, u max_q, u max_context, u invariant.
   * operands: q [T, Hq, D], k_cache, v_cache [blocks, Hkv, block, D], block_table i32 [B, max_blocks],
   *           cu_q i32 [B+1], context i32 [B], out* [T, Hq, D], k_scale?, v_scale? (with caches of i8).
   * Causal attention of the last cu_q[b+1]-cu_q[b] positions of sequence b over its context[b] cached positions
   * (the new ones already written by KV_WRITE). Mixed prefill and decode in one call. What a row gives never depends on
   * the other sequences; with `invariant` it does not depend either on how many rows of its own sequence the call has. */
  LF_OP_ATTENTION_PAGED = 52,
  /* operands: k_cache+, v_cache+, pairs i32 [n, 2], k_scale+?, v_scale+?. Copies block pairs[i][0] onto pairs[i][1]. */
  LF_OP_KV_COPY_BLOCKS = 53,

  /* ---- feed forward ---- */

  /* params: u activation (lf_unary). operands: gate [T, I], up [T, I], out* [T, I]. out = activation(gate) * up. */
  LF_OP_GLU = 64,
  /* params: u activation. operands: gate, up, dout, dgate*, dup*. */
  LF_OP_GLU_BACKWARD = 65,
  /* params: u top_k, u normalize.
   * operands: probs f32 [T, E], rows* i32 [T * top_k], offsets* i32 [E+1], weights* f32 [T * top_k].
   * Chooses the top_k largest of each row (the lower index on a tie), and orders the pairs of token and expert by
   * expert, then by token: pair r is of token rows[r] and has weight weights[r], its probability, divided by the sum of
   * the token's chosen ones if `normalize`; expert e has the pairs offsets[e]..offsets[e+1]. */
  LF_OP_ROUTE = 66,
  /* params: u normalize. operands: probs, rows, offsets, weights, dweights f32 [T * top_k], dlogits* f32 [T, E].
   * Gradient of the logits whose softmax `probs` is. */
  LF_OP_ROUTE_BACKWARD = 67,

  /* ---- losses ---- */

  /* params: i ignore_index, f grad_scale, f softcap, f label_smoothing, f logit_scale, u math.
   * operands: x [T, D], w [V, D] (strided float, block format or packed forward), bias? [V], labels i32 [T],
   *           row_weight? f32 [T], nll* f32 [T], dx*? [T, D], dw+? f32 [V, D], dbias+? f32 [V],
   *           w_backward? (w packed backward), entropy*? f32 [T], lse*? f32 [T], argmax*? i32 [T].
   * Fused linear + softmax + cross-entropy, in chunks: the logits of all rows never exist at once, and rows whose
   * label is ignore_index are dropped before the product (nll 0, dx 0). nll[t] is the unweighted -log p(label);
   * gradients are those of sum_t grad_scale * row_weight[t] * loss[t] with
   * loss = (1 - s) * nll + s * mean_v(-log p(v)). logits = softcap(logit_scale * (x w^T + bias)). */
  LF_OP_CROSS_ENTROPY = 72,
  /* params: f temperature, f beta, f scale. operands: student+ f32 [R, V], teacher [R, V] (float), row_weight? f32 [R],
   *           loss* f32 [R]. The rows of student and teacher are contiguous.
   * Distance of two distributions, the softmaxes of both logits divided by the temperature, q of the student and p of the
   * teacher: with beta 0 KL(p || q), with beta 1 KL(q || p), between them the generalised Jensen-Shannon divergence
   * beta KL(p || m) + (1 - beta) KL(q || m), m = beta p + (1 - beta) q (Agarwal et al. 2024, eq. 1). The student's logits
   * are replaced by the gradient of sum_r scale * row_weight[r] * loss[r] with respect to them. Where a student's
   * logit is -infinity the teacher's is too and the gradient 0; a teacher's may be alone unless beta is 1. */
  LF_OP_DIVERGENCE = 73,

  /* ---- optimiser ---- */

  /* params: f max_norm, f grad_scale. operands: sum_squares f32 [1], out* f32 [2].
   * out[0] = grad_scale * sqrt(sum_squares); out[1] = grad_scale * min(1, max_norm / (out[0] + 1e-6)), or
   * grad_scale when max_norm <= 0. */
  LF_OP_CLIP_SCALE = 80,
  /* params: f lr, f beta1, f beta2, f eps, f weight_decay, f bias_correction1, f bias_correction2.
   * operands: param+ f32, grad (f32 or bf16), m+ f32, v+ f32, scale? f32 [2] (the second element multiplies grad),
   *           copy*? bf16 or f16 (receives the new parameter).
   * Decoupled decay (Loshchilov & Hutter 2019, algorithm 2), in PyTorch's order of operations:
   * param *= 1 - lr * weight_decay; param -= lr / bias_correction1 * m / (sqrt(v) / sqrt(bias_correction2) + eps). */
  LF_OP_ADAMW = 81,

  /* ---- generation ---- */

  /* params: u top_n.
   * operands: logits f32 [B, V], rows f32 [B, LF_SAMPLE_WORDS], history? i32 [H], mask? u32 [B, ceil(V/32)],
   *           bias? f32 [B, V], tokens* i32 [B], logprob* f32 [B], top_tokens*? i32 [B, top_n],
   *           top_logprobs*? f32 [B, top_n].
   * See lf_sample_word for what a row holds. Order: bias, penalties, mask, temperature, top_k, min_p, top_p, draw.
   * logprob and top_* are of log softmax(logits + bias) before penalties, temperature and truncation. The draw uses
   * Philox(seed, position), so it does not depend on the batch. */
  LF_OP_SAMPLE = 96,
  /* params: u normalize. operands: x [T, D], cu i32 [B+1], out* f32 [B, D]. Mean over each sequence, then optionally
   * divided by its Euclidean norm. */
  LF_OP_MEAN_POOL = 97,

  /* ---- quantised checkpoints ---- */

  /* params: u order (lf_code_order), u group.
   * operands: codes i32 [N, K/8], or [N/8, K] in the order of AWQ, scales (float) [N, ceil(K/group)], zeros? u8 (the same
   *           shape; 8 without), dst* q4_z [N, K].
   * Blocks of codes as GPTQ, AWQ and compressed-tensors store them, eight of 4 bits a word. group is a multiple of 32.
   * Scales are rounded to f16. */
  LF_OP_BLOCKS_OF_CODES = 110,

  /* ---- further optimisers, and weights that are trained beside ---- */

  /* params: f lr, f beta1, f beta2, f weight_decay. operands: param+ f32, grad (float), m+ f32, scale? f32 [2] (the second
   * element multiplies grad), copy*? float. Lion (Chen et al. 2023, algorithm 2): param *= 1 - lr * weight_decay;
   * param -= lr * sign(beta1 m + (1 - beta1) grad); m = beta2 m + (1 - beta2) grad. */
  LF_OP_LION = 125,
  /* params as ADAMW. operands: param+ f32, grad (float), m+ u8, v+ u8 (both of param's shape), m_absmax+, v_absmax+ f32
   * [ceil(n / 256)], m_map, v_map f32 [256] ascending, scale? f32 [2], copy*? float.
   * AdamW with moments in blocks of 256 elements (Dettmers et al. 2022): a moment is map[code] * absmax of its block.
   * The new moments' absmax is their largest magnitude, their code that of the map's nearest value, the lower on a tie. */
  LF_OP_ADAMW_8BIT = 126,
  /* params: f lr, f beta2, f eps, f threshold, f weight_decay. operands: param+ f32, grad (float), row+ f32, column+? f32,
   * scale? f32 [2], copy*? float.
   * Adafactor (Shazeer & Stern 2018) with a given rate. With `column` param is [R, C], row [R], column [C]:
   * row = beta2 row + (1 - beta2) mean_c(grad^2 + eps), column likewise over rows,
   * u = grad / sqrt(row / mean(row)) / sqrt(column). Without, row has the shape of param and u = grad / sqrt(row).
   * param *= 1 - lr * weight_decay; param -= lr * u / max(1, rms(u) / threshold). */
  LF_OP_ADAFACTOR = 127,
  /* params: u bits (4 or 8), u block, u nested_block, f offset. operands: codes u8 [ceil(n / 2)] (4 bits: the first of two
   * elements is in the high half) or [n], scale, table? f32 [2^bits], zero? u8 [N, G], group_index? i32 [K],
   * out* float [N, K] contiguous (n = N K), nested_map? f32 [256], nested_scale? f32.
   * With `table` (bitsandbytes' NF4): out[i] = table[code[i]] * s(i / block) over the elements in a row, s = scale f32
   * [blocks], or, where `nested_map` is, nested_map[scale u8 [blocks]] * nested_scale[block / nested_block] + offset.
   * Without: out[n, k] = (code - zero[n, g]) * scale[n, g], scale float [N, G], g = group_index[k], or k / (K / G). */
  LF_OP_DEQUANTIZE = 128,
  /* params: u block (even). operands: x f32 [N, K] contiguous, table f32 [16] ascending, codes* u8 [ceil(n / 2)],
   * absmax* f32 [ceil(n / block)]. The codes of 4 bits that DEQUANTIZE takes with this table: absmax is the largest
   * magnitude of a block, a code that of the table's value nearest to x / absmax, the lower on a tie. */
  LF_OP_QUANTIZE_TABLE = 129,

  /* ---- quantisation of weights. Both find grids: a group of columns of a row has values (code - zero) * scale, codes
   * below 2^bits. The range of a group, 0 included, is tried whole and in `shares` - 1 steps of 0.02 less; then `refits` times
   * the scale that fits the codes best by least squares; the least sum of importance * error^2 wins. A symmetric
   * grid has its zero at 2^(bits-1) and scale = 2 * largest / (2^bits - 1); else the zero is the nearest code to 0. Scales
   * are rounded to `dtype` first. Values and zeros are nearest codes, ties to even, within the range. A group of zeros has
   * scale 1 and the middle zero. ---- */

  /* params: u bits, u group, u symmetric, u shares, u refits, u dtype (f32, f16 or bf16).
   * operands: w f32 [N, K], importance? f32 [K], codes* u8 [N, K], scales* f32 [N, K/group], zeros* f32 [N, K/group],
   *           values*? f32 [N, K]. Rounds to the nearest; importance defaults to 1. */
  LF_OP_QUANTIZE_GROUPS = 145,
  /* params as QUANTIZE_GROUPS.
   * operands: w f32 [N, B], carried? f32 [N, B], upper f32 [B, B], columns? i32 [B], scales+ f32 [N, G], zeros+ f32 [N, G],
   *           codes* u8 [N, B], errors* f32 [N, B].
   * Column j of B is rounded after what the errors before it ask for was added:
   * target[j] = w[j] + (carried[j] + sum over i < j of errors[i] upper[i, j]) / upper[j, j], errors = w - value; below its
   * diagonal `upper` is not read. With `columns` the grid of column j is the one that scales and zeros have at columns[j];
   * without, those of the B/group groups are found as each begins, for the targets that its columns would have if none of
   * them were rounded, with importance upper[j, j]^2. */
  LF_OP_QUANTIZE_BLOCK = 146,
  /* params as QUANTIZE_GROUPS; shares, refits and symmetric are not used.
   * operands: w f32 [N, B], slope f32 [N, B], square f32 [B, B], scales+ f32 [N, B/group], zeros f32 [N, B/group],
   *           codes+ u8 [N, B], errors+ f32 [N, B].
   * One sweep of coordinate descent over a block of columns: lowers tr(E H E^T), E = errors = w - value. slope is E H in
   * these columns, square is H there. For each group in turn, first its scale: the one for which the quadratic is least
   * with the codes as they are, if positive, rounded to dtype, taken if the quadratic falls; then each column's code: that
   * nearest to w[j] - errors[j] + slope[j] / square[j, j], where slope follows every change. */
  LF_OP_QUANTIZE_SWEEP = 147,
  /* operands: src float [N, K], importance? f32 [K], dst* [N, K] (a block format). Encodes weights. Scales are chosen for a
   * small sum of importance * error^2; of Q8_0 the scale is the largest magnitude of a block over 127. */
  LF_OP_ENCODE_BLOCKS = 148,

  /* ---- several devices of one backend and one process. Every device of a group has a rank of its own below `ways`, and is given
   * the group's commands in the same order, with operands of the same sizes and types. A queue waits in one for the others;
   * when a queue of the group fails before it gets there, or its device closes, the group's commands fail on all. `group` is
   * the caller's number for it, new for each; a group that failed stays so. With `ways` 1 there is nothing to wait for. ---- */

  /* params: u group, u rank, u ways. operands: x+ (float, contiguous). x = the sum of all devices' x, the same bits on all. */
  LF_OP_ALL_REDUCE = 160,
  /* params: u group, u rank, u ways. operands: x (float, contiguous), out* [ways, ...] (of x's type, contiguous): out[r] = x of
   * rank r. */
  LF_OP_ALL_GATHER = 161
} lf_op;

typedef enum lf_binary { LF_ADD = 0, LF_SUB = 1, LF_MUL = 2, LF_DIV = 3, LF_MAX = 4, LF_MIN = 5 } lf_binary;

typedef enum lf_unary {
  LF_IDENTITY = 0,
  LF_SILU = 1,
  LF_GELU = 2,      /* exact, by erf */
  LF_GELU_TANH = 3, /* the tanh approximation */
  LF_RELU = 4,
  LF_TANH = 5,
  LF_SIGMOID = 6,
  LF_EXP = 7,
  LF_LOG = 8,
  LF_SQRT = 9,
  LF_SQUARE = 10,
  LF_NEG = 11,
  LF_ABS = 12
} lf_unary;

typedef enum lf_reduce {
  LF_SUM = 0,
  LF_MEAN = 1,
  LF_MAXIMUM = 2,
  LF_SUM_SQUARES = 3,
  LF_ABS_MAX = 4,
  LF_COUNT_NONFINITE = 5
} lf_reduce;

/* Which codes a 32-bit word holds, the lowest bits first. ALONG_K: eight neighbours along K. AWQ: of one k, columns 0, 2, 4,
 * 6, 1, 3, 5 and 7 of eight neighbours along N. */
typedef enum lf_code_order { LF_CODES_ALONG_K = 0, LF_CODES_AWQ = 1 } lf_code_order;

typedef enum lf_random { LF_UNIFORM = 0, LF_NORMAL = 1 } lf_random;

/*
 * Precision of the products in a matrix op. F32: every operand widened to f32. BF16: operands rounded to bf16.
 * INT8: for LINEAR with a w that is packed in a block format, whose numbers are used as they are. x is rounded in groups
 * of 32 along K to scale * code: scale = largest / 127 in magnitude, code = x * (127 / largest) to the nearest integer,
 * ties to even, all in f32. A group whose largest magnitude is below 2^-100 is zero. A low-rank part is as in BF16.
 */
typedef enum lf_math { LF_MATH_F32 = 0, LF_MATH_BF16 = 1, LF_MATH_INT8 = 2 } lf_math;

/* Words of a row of the `rows` operand of SAMPLE. Integers are stored as bit patterns (u or i). */
typedef enum lf_sample_word {
  LF_SAMPLE_TEMPERATURE = 0,  /* f; 0 takes the largest logit, the lowest id on a tie */
  LF_SAMPLE_TOP_K = 1,        /* u; 0 is off */
  LF_SAMPLE_TOP_P = 2,        /* f; 1 is off */
  LF_SAMPLE_MIN_P = 3,        /* f; 0 is off */
  LF_SAMPLE_REPETITION = 4,   /* f; 1 is off. Over prompt and output, as in CTRL (Keskar et al. 2019) */
  LF_SAMPLE_PRESENCE = 5,     /* f; over output tokens */
  LF_SAMPLE_FREQUENCY = 6,    /* f; over output tokens */
  LF_SAMPLE_SEED_LO = 7,      /* u */
  LF_SAMPLE_SEED_HI = 8,      /* u */
  LF_SAMPLE_POSITION = 9,     /* u; index of the token that is drawn */
  LF_SAMPLE_HISTORY_START = 10, /* u; offset into `history` */
  LF_SAMPLE_PROMPT_LENGTH = 11, /* u; tokens of the prompt in `history` */
  LF_SAMPLE_OUTPUT_LENGTH = 12, /* u; output tokens that follow them */
  LF_SAMPLE_FLAGS = 13,       /* u; bit 0: the row of `mask` applies. bit 1: the row of `bias` applies */
  LF_SAMPLE_WORDS = 16
} lf_sample_word;

/* ----------------------------------------------------------------------------------------------------- errors -- */

typedef enum lf_status {
  LF_OK = 0,
  LF_INVALID = 1,        /* the caller broke the contract: wrong shape, dtype, handle, stream */
  LF_UNSUPPORTED = 2,    /* well formed, but this backend lacks it */
  LF_OUT_OF_MEMORY = 3,
  LF_IO = 4,             /* a mapped file could not be read (truncated, removed) */
  LF_DEVICE = 5,         /* the device failed or is absent */
  LF_CANCELLED = 6,
  LF_INTERNAL = 7
} lf_status;

typedef struct lf_error lf_error;

/* ---------------------------------------------------------------------------------------------------- objects -- */

typedef struct lf_device lf_device;
typedef struct lf_queue lf_queue;
typedef struct lf_event lf_event;

typedef struct lf_device_properties {
  size_t struct_size;
  char name[128];      /* "AMD EPYC 9B14" */
  char kind[16];       /* "cpu", "cuda", "rocm" */
  char isa[64];        /* what kernels will use: "avx512-bf16", "sm_90a" */
  uint64_t memory_total;
  uint64_t memory_free;
  uint32_t compute_units; /* cores or multiprocessors that kernels will use */
  uint32_t alignment;     /* of buffer offsets, in bytes */
  uint32_t unified_memory;
  uint32_t kv_block_size; /* preferred positions per KV block */
  uint32_t packed_math;   /* lf_math: in which LINEAR is fastest with x of bf16 and w packed in a block format */
} lf_device_properties;

typedef struct lf_device_options {
  size_t struct_size;
  uint32_t threads;       /* 0: chosen by the backend */
  const char* isa;        /* NULL: the best there is */
  uint64_t memory_limit;  /* 0: none; an allocation beyond it is LF_OUT_OF_MEMORY */
  uint32_t urgent;        /* not 0: its work is short and waited for; its threads, and the one that opens it, should run soon after
                             they wake */
} lf_device_options;

typedef struct lf_memory_info {
  size_t struct_size;
  uint64_t total;
  uint64_t free;
  uint64_t allocated; /* by this device object */
  uint64_t peak;
  uint64_t mapped;    /* of files */
} lf_memory_info;

/* Called once, on a thread of the backend, when the work before it is done. `error` is NULL on success and belongs
 * to the callee. It must not call back into the backend except error_* and buffer_free. */
typedef void (*lf_completion)(void* user, lf_error* error);

typedef struct lf_backend {
  size_t struct_size;
  uint32_t abi_major;
  uint32_t abi_minor;
  const char* name;    /* "cpu" */
  const char* version; /* of the backend package */
  const void* extensions; /* chain of {size_t struct_size; const void* next; uint32_t id}, or NULL */

  lf_status (*error_status)(const lf_error*);
  const char* (*error_message)(const lf_error*);
  /* Offset in bytes of the failing command within its stream, or UINT64_MAX; and its op, or 0. */
  uint64_t (*error_command)(const lf_error*);
  uint32_t (*error_op)(const lf_error*);
  void (*error_free)(lf_error*);

  lf_error* (*device_count)(uint32_t* count);
  lf_error* (*device_properties)(uint32_t index, lf_device_properties* out);
  lf_error* (*device_open)(uint32_t index, const lf_device_options* options, lf_device** out);
  /* Waits for queued work, then frees everything that the device owns. */
  void (*device_close)(lf_device*);
  lf_error* (*device_opened_properties)(lf_device*, lf_device_properties* out);
  lf_error* (*device_memory)(lf_device*, lf_memory_info* out);

  /* Handles are not 0, and a stale one is detected (LF_INVALID). Contents are undefined. */
  lf_error* (*buffer_alloc)(lf_device*, uint64_t bytes, uint32_t* handle);
  /* A read-only buffer over a range of a file: mapped where memory is unified, else copied in. */
  lf_error* (*buffer_map_file)(lf_device*, const char* path, uint64_t offset, uint64_t bytes, uint32_t* handle);
  lf_error* (*buffer_free)(lf_device*, uint32_t handle);
  lf_error* (*buffer_size)(lf_device*, uint32_t handle, uint64_t* bytes);

  /* Whether the command (operands' dtypes, layouts and shapes; handles are not looked at) can run: NULL if so, else
   * LF_UNSUPPORTED or LF_INVALID with the reason. */
  lf_error* (*supports)(lf_device*, const lf_command*);
  /* Bytes of a packed weight of logical shape [n, k]. */
  lf_error* (*packed_size)(lf_device*, uint32_t dtype, uint32_t layout, uint32_t n, uint32_t k, uint32_t group,
                           uint64_t* bytes);

  lf_error* (*queue_create)(lf_device*, lf_queue** out);
  void (*queue_destroy)(lf_queue*);
  /* Checks the stream's structure, copies it, and returns at once. After a command fails, the rest of what was
   * submitted is skipped until the error has been delivered by `queue_flush` or `event`. */
  lf_error* (*queue_submit)(lf_queue*, const void* stream, uint64_t bytes);
  /* Host memory must stay valid until the completion of a later queue_flush. */
  lf_error* (*queue_write)(lf_queue*, uint32_t handle, uint64_t offset, const void* source, uint64_t bytes);
  lf_error* (*queue_read)(lf_queue*, uint32_t handle, uint64_t offset, void* destination, uint64_t bytes);
  /* Calls `done` when everything given to the queue so far has finished. */
  lf_error* (*queue_flush)(lf_queue*, lf_completion done, void* user);

  lf_error* (*event_record)(lf_queue*, lf_event** out);
  lf_error* (*event_wait)(lf_queue*, lf_event*); /* later work of the queue waits for the event */
  lf_error* (*event_synchronize)(lf_event*);     /* the calling thread waits; returns the error it carries */
  void (*event_free)(lf_event*);

  /* A JSON array of kernel timings since the last call, when LF_PROFILE is set in the environment; else "[]".
   * [{"op": 33, "calls": n, "ns": total, "flops": n, "bytes": n}]. The string lives until the next call. */
  const char* (*profile)(lf_device*);
} lf_backend;

/* Returns the table, or NULL when `abi_major` is not supported. */
typedef const lf_backend* (*lf_backend_entry_fn)(uint32_t abi_major);
LF_EXPORT const lf_backend* lf_backend_entry(uint32_t abi_major);

#ifdef __cplusplus
}
#endif
#endif
