// The makers of cases, one per op.
#pragma once
#include "../case.h"

namespace conformance {

Case make_fill(Random&);
Case make_copy(Random&);
Case make_binary(Random&);
Case make_unary(Random&);
Case make_unary_backward(Random&);
Case make_reduce(Random&);
Case make_random(Random&);
Case make_dropout(Random&);
Case make_softmax(Random&);
Case make_embedding(Random&);
Case make_embedding_backward(Random&);
Case make_gather_columns(Random&);
Case make_rms_norm(Random&);
Case make_rms_norm_backward(Random&);
Case make_layer_norm(Random&);
Case make_layer_norm_backward(Random&);
Case make_matmul(Random&);
Case make_linear(Random&);
Case make_linear_backward_input(Random&);
Case make_linear_backward_weight(Random&);
Case make_blocks_of_codes(Random&);
Case make_rope(Random&);
Case make_attention(Random&);
Case make_attention_backward(Random&);
Case make_kv_write(Random&);
Case make_attention_paged(Random&);
Case make_kv_copy_blocks(Random&);
Case make_glu(Random&);
Case make_glu_backward(Random&);
Case make_cross_entropy(Random&);
Case make_divergence(Random&);
Case make_clip_scale(Random&);
Case make_adamw(Random&);
Case make_lion(Random&);
Case make_adamw_8bit(Random&);
Case make_adafactor(Random&);
Case make_dequantize(Random&);
Case make_quantize_table(Random&);
Case make_sample(Random&);
Case make_mean_pool(Random&);
Case make_all_reduce(Random&);
Case make_all_gather(Random&);
Case make_quantize_groups(Random&);
Case make_quantize_block(Random&);
Case make_quantize_sweep(Random&);
Case make_encode_blocks(Random&);
Case make_route(Random&);
Case make_route_backward(Random&);
Case make_grouped_linear(Random&);
Case make_grouped_linear_backward_input(Random&);
Case make_grouped_linear_backward_weight(Random&);

}  // namespace conformance
