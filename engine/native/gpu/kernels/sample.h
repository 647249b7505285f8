// Arguments of SAMPLE.
#pragma once
#include "arguments.h"

namespace lf_gpu {

constexpr int kSampleThreads = 512;
// A number of each warp, and one of each thread.
constexpr uint32_t kSampleShared = 256 + kSampleThreads * 4;

struct SampleArgs {
  Head head;
  const float* logits;
  const uint32_t* rows;  // words of lf_sample_word
  const int32_t* history;
  const uint32_t* mask;
  const float* bias;
  int32_t* tokens;
  float* logprob;
  int32_t* top_tokens;
  float* top_logprobs;
  int64_t logit_stride[2], row_stride[2], mask_stride[2], bias_stride[2], top_token_stride[2], top_logprob_stride[2];
  int64_t history_stride, history_length, token_stride, logprob_stride;
  float* scores;           // [B][V], of this call
  uint32_t *seen, *drawn;  // [B][V]
  int64_t vocabulary, top_n;
};

}  // namespace lf_gpu
