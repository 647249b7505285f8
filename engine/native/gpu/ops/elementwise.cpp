// FILL, COPY, BINARY, UNARY, GLU, their gradients, RANDOM and DROPOUT.
#include "../kernels/elementwise.h"

#include "checks.h"

namespace lf_gpu {
namespace {

constexpr uint32_t kActivations = LF_ABS;

const char* expect_kind(Context& c, uint32_t kind, uint32_t last, const char* what) {
  return kind <= last ? nullptr : c.fail(LF_UNSUPPORTED, "there is no %s %u", what, kind);
}

template <typename Args>
const char* launch_map(Context& c, const char* kernel, const Args& args, int64_t n, int64_t each) {
  const int64_t pieces = ceil_div(n, each);
  const uint32_t threads = threads_for(c, pieces, kMapThreads);
  return c.launch(kernel, grid_for(c, ceil_div(pieces, threads)), threads, 0, args);
}

MapArgs map_of(std::initializer_list<const View*> in, std::initializer_list<const View*> out) {
  MapArgs args{};
  int i = 0;
  for (const View* v : in) args.in[i++] = elements_of(*v);
  i = 0;
  for (const View* v : out) args.out[i++] = elements_of(*v);
  args.n = (*out.begin())->elements();
  return args;
}

const char* check_fill(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_strided(c, o[0], "dst"));
  return !is_blocks(o[0].dtype) && o[0].dtype != LF_I4 ? nullptr : c.fail(LF_UNSUPPORTED, "operand dst has data type %d", o[0].dtype);
}
const char* run_fill(Context& c, const uint32_t* p, const View* o, int) {
  FillArgs args{};
  args.out = elements_of(o[0]);
  args.n = o[0].elements();
  args.value = param_f32(p, 0);
  return is_float(o[0]) ? launch_map(c, "fill", args, args.n, 8) : launch_map(c, "fill_elements", args, args.n, 1);
}

uint32_t bytes_of(lf_dtype dtype) {
  switch (dtype) {
    case LF_F64: case LF_I64: return 8;
    case LF_F32: case LF_I32: case LF_U32: return 4;
    case LF_BF16: case LF_F16: return 2;
    default: return 1;
  }
}

bool is_integer(lf_dtype dtype) { return dtype == LF_I32 || dtype == LF_I64 || dtype == LF_U32 || dtype == LF_U8 || dtype == LF_I8; }

const char* check_copy(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_strided(c, o[0], "src"));
  LF_RETURN_IF(expect_same_shape(c, o[1], "dst", o[0], "src"));
  if (is_blocks(o[0].dtype) && is_float(o[1])) return nullptr;
  if ((is_float(o[0]) && is_float(o[1])) || (o[0].dtype == o[1].dtype && !is_blocks(o[0].dtype))) return nullptr;
  if (is_integer(o[0].dtype) && !is_blocks(o[1].dtype) && o[1].dtype != LF_I4) return nullptr;
  return c.fail(LF_UNSUPPORTED, "data type %d is not converted to %d", o[0].dtype, o[1].dtype);
}
const char* run_copy(Context& c, const uint32_t*, const View* o, int) {
  MapArgs args = map_of({&o[0]}, {&o[1]});
  if (is_blocks(o[0].dtype)) return launch_map(c, "copy_blocks", args, args.n, 8);
  if (is_float(o[0])) return launch_map(c, "copy", args, args.n, 8);
  MoveArgs move{};
  move.in = args.in[0], move.out = args.out[0];
  move.n = args.n;
  move.bytes = bytes_of(o[0].dtype);
  if (o[0].dtype != o[1].dtype) return launch_map(c, "convert_integers", move, move.n, 1);
  return launch_map(c, "move_elements", move, move.n, 1);
}

const char* check_binary(Context& c, const uint32_t* p, const View* o, int) {
  for (int i = 0; i < 3; i++) LF_RETURN_IF(expect_float(c, o[i], i == 0 ? "a" : i == 1 ? "b" : "out"));
  LF_RETURN_IF(expect_same_shape(c, o[1], "b", o[0], "a"));
  LF_RETURN_IF(expect_same_shape(c, o[2], "out", o[0], "a"));
  return expect_kind(c, p[0], LF_MIN, "binary function");
}
const char* run_binary(Context& c, const uint32_t* p, const View* o, int) {
  MapArgs args = map_of({&o[0], &o[1]}, {&o[2]});
  args.kind = p[0];
  args.alpha = param_f32(p, 1), args.beta = param_f32(p, 2);
  return launch_map(c, "binary_map", args, args.n, 8);
}

const char* check_unary(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_float(c, o[1], "out"));
  LF_RETURN_IF(expect_same_shape(c, o[1], "out", o[0], "x"));
  return expect_kind(c, p[0], kActivations, "function");
}
const char* run_unary(Context& c, const uint32_t* p, const View* o, int) {
  MapArgs args = map_of({&o[0]}, {&o[1]});
  args.kind = p[0];
  return launch_map(c, "unary_map", args, args.n, 8);
}

// UNARY_BACKWARD: x, dy, dx. GLU: gate, up, out.
const char* check_three(Context& c, const uint32_t* p, const View* o, int) {
  for (int i = 0; i < 3; i++) LF_RETURN_IF(expect_float(c, o[i], i == 0 ? "0" : i == 1 ? "1" : "2"));
  LF_RETURN_IF(expect_same_shape(c, o[1], "1", o[0], "0"));
  LF_RETURN_IF(expect_same_shape(c, o[2], "2", o[0], "0"));
  return expect_kind(c, p[0], kActivations, "activation");
}
const char* run_unary_backward(Context& c, const uint32_t* p, const View* o, int) {
  MapArgs args = map_of({&o[0], &o[1]}, {&o[2]});
  args.kind = p[0];
  return launch_map(c, "unary_gradient", args, args.n, 8);
}
const char* run_glu(Context& c, const uint32_t* p, const View* o, int) {
  MapArgs args = map_of({&o[0], &o[1]}, {&o[2]});
  args.kind = p[0];
  return launch_map(c, "glu_map", args, args.n, 8);
}

const char* check_glu_backward(Context& c, const uint32_t* p, const View* o, int count) {
  LF_RETURN_IF(check_three(c, p, o, count));
  for (int i = 3; i < 5; i++) {
    LF_RETURN_IF(expect_float(c, o[i], i == 3 ? "dgate" : "dup"));
    LF_RETURN_IF(expect_same_shape(c, o[i], i == 3 ? "dgate" : "dup", o[0], "gate"));
  }
  return nullptr;
}
const char* run_glu_backward(Context& c, const uint32_t* p, const View* o, int) {
  MapArgs args = map_of({&o[0], &o[1], &o[2]}, {&o[3], &o[4]});
  args.kind = p[0];
  return launch_map(c, "glu_gradient", args, args.n, 8);
}

const char* check_random(Context& c, const uint32_t* p, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "out"));
  return expect_kind(c, p[0], LF_NORMAL, "distribution");
}
const char* run_random(Context& c, const uint32_t* p, const View* o, int) {
  RandomArgs args{};
  args.out = elements_of(o[0]);
  args.n = o[0].elements();
  args.kind = p[0];
  args.a = param_f32(p, 1), args.b = param_f32(p, 2);
  args.seed_lo = p[3], args.seed_hi = p[4], args.stream = p[5], args.accumulate = p[6];
  return launch_map(c, "random_map", args, args.n, 8);
}

const char* check_dropout(Context& c, const uint32_t*, const View* o, int) {
  LF_RETURN_IF(expect_float(c, o[0], "x"));
  LF_RETURN_IF(expect_float(c, o[1], "out"));
  return expect_same_shape(c, o[1], "out", o[0], "x");
}
const char* run_dropout(Context& c, const uint32_t* p, const View* o, int) {
  RandomArgs args{};
  args.x = elements_of(o[0]), args.out = elements_of(o[1]);
  args.n = o[0].elements();
  args.a = param_f32(p, 0);
  args.seed_lo = p[1], args.seed_hi = p[2], args.stream = p[3];
  return launch_map(c, "dropout_map", args, args.n, 8);
}

const OpRegistration kFill{LF_OP_FILL, run_fill, check_fill}, kCopy{LF_OP_COPY, run_copy, check_copy},
    kBinary{LF_OP_BINARY, run_binary, check_binary}, kUnary{LF_OP_UNARY, run_unary, check_unary},
    kUnaryBackward{LF_OP_UNARY_BACKWARD, run_unary_backward, check_three}, kGlu{LF_OP_GLU, run_glu, check_three},
    kGluBackward{LF_OP_GLU_BACKWARD, run_glu_backward, check_glu_backward}, kRandom{LF_OP_RANDOM, run_random, check_random},
    kDropout{LF_OP_DROPOUT, run_dropout, check_dropout};

}  // namespace
}  // namespace lf_gpu
