// SAMPLE.
#include "../kernels/sample.h"

#include "checks.h"

namespace lf_gpu {
namespace {

enum { kLogits, kRows, kHistory, kMask, kBias, kTokens, kLogprob, kTopTokens, kTopLogprobs };

const char* expect(Context& c, const View& v, const char* name, lf_dtype dtype, std::initializer_list<int64_t> shape) {
  LF_RETURN_IF(expect_dtype(c, v, name, dtype));
  return expect_shape(c, v, name, shape);
}

const char* check_sample(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_dtype(c, o[kLogits], "logits", LF_F32));
  LF_RETURN_IF(expect_rank(c, o[kLogits], "logits", 2, 2));
  const int64_t rows = o[kLogits].shape[0], vocabulary = o[kLogits].shape[1], top_n = p[0];
  if (vocabulary < 1 || vocabulary >= int64_t{1} << 31) return c.fail(LF_INVALID, "a vocabulary of %lld tokens", (long long)vocabulary);
  if (top_n > vocabulary) return c.fail(LF_INVALID, "the %lld most likely of %lld tokens", (long long)top_n, (long long)vocabulary);
  LF_RETURN_IF(expect(c, o[kRows], "rows", LF_F32, {rows, LF_SAMPLE_WORDS}));
  if (o[kHistory].present()) {
    LF_RETURN_IF(expect_dtype(c, o[kHistory], "history", LF_I32));
    LF_RETURN_IF(expect_rank(c, o[kHistory], "history", 1, 1));
  }
  if (o[kMask].present()) LF_RETURN_IF(expect(c, o[kMask], "mask", LF_U32, {rows, ceil_div(vocabulary, 32)}));
  if (o[kBias].present()) LF_RETURN_IF(expect(c, o[kBias], "bias", LF_F32, {rows, vocabulary}));
  LF_RETURN_IF(expect(c, o[kTokens], "tokens", LF_I32, {rows}));
  LF_RETURN_IF(expect(c, o[kLogprob], "logprob", LF_F32, {rows}));
  if (top_n == 0) return nullptr;
  LF_RETURN_IF(expect(c, o[kTopTokens], "top_tokens", LF_I32, {rows, top_n}));
  return expect(c, o[kTopLogprobs], "top_logprobs", LF_F32, {rows, top_n});
}

const char* run_sample(Context& c, const uint32_t* p, const View* o, int) {
  SampleArgs args{};
  args.vocabulary = o[kLogits].shape[1], args.top_n = p[0];
  if (o[kHistory].present()) {
    LF_RETURN_IF(c.check_indices(o, {kHistory, 0, static_cast<int32_t>(args.vocabulary) - 1}));
    args.history = o[kHistory].as<const int32_t>(), args.history_stride = o[kHistory].stride[0];
    args.history_length = o[kHistory].shape[0];
  }
  args.logits = o[kLogits].as<const float>();
  args.rows = o[kRows].as<const uint32_t>();
  args.mask = o[kMask].as<const uint32_t>();
  args.bias = o[kBias].as<const float>();
  args.tokens = o[kTokens].as<int32_t>(), args.token_stride = o[kTokens].stride[0];
  args.logprob = o[kLogprob].as<float>(), args.logprob_stride = o[kLogprob].stride[0];
  args.top_tokens = o[kTopTokens].as<int32_t>(), args.top_logprobs = o[kTopLogprobs].as<float>();
  for (int d = 0; d < 2; d++) {
    args.logit_stride[d] = o[kLogits].stride[d], args.row_stride[d] = o[kRows].stride[d], args.mask_stride[d] = o[kMask].stride[d];
    args.bias_stride[d] = o[kBias].stride[d], args.top_token_stride[d] = o[kTopTokens].stride[d];
    args.top_logprob_stride[d] = o[kTopLogprobs].stride[d];
  }
  const uint64_t bytes = static_cast<uint64_t>(o[kLogits].shape[0] * args.vocabulary) * 4;
  args.scores = static_cast<float*>(c.workspace(bytes));
  args.seen = static_cast<uint32_t*>(c.workspace(bytes));
  args.drawn = static_cast<uint32_t*>(c.workspace(bytes));
  if (!args.scores || !args.seen || !args.drawn) return c.exhausted();
  return c.launch("sample_rows", {static_cast<uint32_t>(o[kLogits].shape[0])}, threads_for(c, args.vocabulary, kSampleThreads),
                  kSampleShared, args);
}

const OpRegistration kSample{LF_OP_SAMPLE, run_sample, check_sample};

}  // namespace
}  // namespace lf_gpu
