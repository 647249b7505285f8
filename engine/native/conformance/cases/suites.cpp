#include "cases.h"

namespace conformance {

const std::vector<Suite>& suites() {
#define SUITE(op, name) {LF_OP_##op, #op, make_##name, reference_##name}
  static const std::vector<Suite> list = {
      SUITE(FILL, fill),
      SUITE(COPY, copy),
      SUITE(BINARY, binary),
      SUITE(UNARY, unary),
      SUITE(UNARY_BACKWARD, unary_backward),
      SUITE(REDUCE, reduce),
      SUITE(RANDOM, random),
      SUITE(DROPOUT, dropout),
      SUITE(SOFTMAX, softmax),
      SUITE(EMBEDDING, embedding),
      SUITE(EMBEDDING_BACKWARD, embedding_backward),
      SUITE(GATHER_COLUMNS, gather_columns),
      SUITE(RMS_NORM, rms_norm),
      SUITE(RMS_NORM_BACKWARD, rms_norm_backward),
      SUITE(LAYER_NORM, layer_norm),
      SUITE(LAYER_NORM_BACKWARD, layer_norm_backward),
      SUITE(MATMUL, matmul),
      SUITE(LINEAR, linear),
      SUITE(LINEAR_BACKWARD_INPUT, linear_backward_input),
      SUITE(LINEAR_BACKWARD_WEIGHT, linear_backward_weight),
      SUITE(BLOCKS_OF_CODES, blocks_of_codes),
      SUITE(ROPE, rope),
      SUITE(ATTENTION, attention),
      SUITE(ATTENTION_BACKWARD, attention_backward),
      SUITE(KV_WRITE, kv_write),
      SUITE(ATTENTION_PAGED, attention_paged),
      SUITE(KV_COPY_BLOCKS, kv_copy_blocks),
      SUITE(GLU, glu),
      SUITE(GLU_BACKWARD, glu_backward),
      SUITE(CROSS_ENTROPY, cross_entropy),
      SUITE(DIVERGENCE, divergence),
      SUITE(CLIP_SCALE, clip_scale),
      SUITE(ADAMW, adamw),
      SUITE(LION, lion),
      SUITE(ADAMW_8BIT, adamw_8bit),
      SUITE(ADAFACTOR, adafactor),
      SUITE(DEQUANTIZE, dequantize),
      SUITE(QUANTIZE_TABLE, quantize_table),
      SUITE(SAMPLE, sample),
      SUITE(MEAN_POOL, mean_pool),
      SUITE(ALL_REDUCE, all_reduce),
      SUITE(ALL_GATHER, all_gather),
      SUITE(QUANTIZE_GROUPS, quantize_groups),
      SUITE(QUANTIZE_BLOCK, quantize_block),
      SUITE(QUANTIZE_SWEEP, quantize_sweep),
      SUITE(ENCODE_BLOCKS, encode_blocks),
      SUITE(ROUTE, route),
      SUITE(ROUTE_BACKWARD, route_backward),
      SUITE(GROUPED_LINEAR, grouped_linear),
      SUITE(GROUPED_LINEAR_BACKWARD_INPUT, grouped_linear_backward_input),
      SUITE(GROUPED_LINEAR_BACKWARD_WEIGHT, grouped_linear_backward_weight),
  };
#undef SUITE
  return list;
}

}  // namespace conformance
