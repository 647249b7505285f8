// FILL, COPY, BINARY, UNARY, GLU and their gradients, RANDOM and DROPOUT: a thread handles eight elements at a time.
#include "elementwise.h"

#include "activation.h"
#include "block_formats.h"
#include "philox.h"

namespace lf_gpu {

template <typename F>
LF_ON_DEVICE void for_all8(int64_t n, F f) {
  const int64_t step = int64_t(grid_x()) * block_threads() * 8;
  for (int64_t first = (int64_t(block_x()) * block_threads() + thread_id()) * 8; first < n; first += step) f(first);
}

LF_KERNEL(fill, FillArgs, kMapThreads) {
  float v[8];
  for (int i = 0; i < 8; i++) v[i] = a.value;
  for_all8(a.n, [&](int64_t first) { write8(a.out, first, a.n, v); });
}

LF_KERNEL(copy, MapArgs, kMapThreads) {
  for_all8(a.n, [&](int64_t first) {
    float v[8];
    read8(a.in[0], first, a.n, v);
    write8(a.out[0], first, a.n, v);
  });
}

// From a block format; rows are whole blocks, so that eight elements are always of one block.
LF_KERNEL(copy_blocks, MapArgs, kMapThreads) {
  for_all8(a.n, [&](int64_t first) {
    float v[8];
    decode8(a.in[0].dtype, a.in[0].data, first, v);
    write8(a.out[0], first, a.n, v);
  });
}

template <typename T>
LF_ON_DEVICE void move(const MoveArgs& a, int64_t i) {
  store(reinterpret_cast<T*>(a.out.data) + place_of(a.out, i), load(reinterpret_cast<const T*>(a.in.data) + place_of(a.in, i)));
}
LF_KERNEL(move_elements, MoveArgs, kMapThreads) {
  for (int64_t i = int64_t(block_x()) * block_threads() + thread_id(); i < a.n; i += int64_t(grid_x()) * block_threads()) {
    if (a.bytes == 1) move<uint8_t>(a, i);
    else if (a.bytes == 2) move<uint16_t>(a, i);
    else if (a.bytes == 4) move<uint32_t>(a, i);
    else move<uint64_t>(a, i);
  }
}

// Numbers of any data type that is not a block format.
template <typename T, typename V>
LF_ON_DEVICE void put(const Operand& o, int64_t i, V v) {
  store(reinterpret_cast<T*>(o.data) + place_of(o, i), T(v));
}
template <typename V>
LF_ON_DEVICE void put_number(const Operand& o, int64_t i, V v) {
  switch (o.dtype) {
    case LF_F64: return put<double>(o, i, v);
    case LF_I64: return put<int64_t>(o, i, v);
    case LF_I32: return put<int32_t>(o, i, v);
    case LF_U32: return put<uint32_t>(o, i, v);
    case LF_I8: return put<int8_t>(o, i, v);
    case LF_U8: return put<uint8_t>(o, i, v);
    default: return write_float(o.data, o.dtype, place_of(o, i), float(v));
  }
}
template <typename T>
LF_ON_DEVICE int64_t integer_of(const Operand& o, int64_t i) {
  return int64_t(load(reinterpret_cast<const T*>(o.data) + place_of(o, i)));
}
LF_KERNEL(fill_elements, FillArgs, kMapThreads) {
  for (int64_t i = int64_t(block_x()) * block_threads() + thread_id(); i < a.n; i += int64_t(grid_x()) * block_threads())
    put_number(a.out, i, a.value);
}
LF_KERNEL(convert_integers, MoveArgs, kMapThreads) {
  for (int64_t i = int64_t(block_x()) * block_threads() + thread_id(); i < a.n; i += int64_t(grid_x()) * block_threads()) {
    switch (a.in.dtype) {
      case LF_I64: put_number(a.out, i, integer_of<int64_t>(a.in, i)); break;
      case LF_U32: put_number(a.out, i, integer_of<uint32_t>(a.in, i)); break;
      case LF_I8: put_number(a.out, i, integer_of<int8_t>(a.in, i)); break;
      case LF_U8: put_number(a.out, i, integer_of<uint8_t>(a.in, i)); break;
      default: put_number(a.out, i, integer_of<int32_t>(a.in, i)); break;
    }
  }
}

LF_ON_DEVICE float binary(uint32_t kind, float x, float y) {
  switch (kind) {
    case LF_ADD: return x + y;
    case LF_SUB: return x - y;
    case LF_MUL: return x * y;
    case LF_DIV: return x / y;
    case LF_MAX: return x != x ? y : y != y || x > y ? x : y;
    default: return x != x ? y : y != y || x < y ? x : y;
  }
}
LF_KERNEL(binary_map, MapArgs, kMapThreads) {
  for_all8(a.n, [&](int64_t first) {
    float x[8], y[8];
    read8(a.in[0], first, a.n, x);
    read8(a.in[1], first, a.n, y);
    for (int i = 0; i < 8; i++) x[i] = binary(a.kind, a.alpha * x[i], a.beta * y[i]);
    write8(a.out[0], first, a.n, x);
  });
}

LF_KERNEL(unary_map, MapArgs, kMapThreads) {
  for_all8(a.n, [&](int64_t first) {
    float x[8];
    read8(a.in[0], first, a.n, x);
    for (int i = 0; i < 8; i++) x[i] = unary(a.kind, x[i]);
    write8(a.out[0], first, a.n, x);
  });
}

LF_KERNEL(unary_gradient, MapArgs, kMapThreads) {
  for_all8(a.n, [&](int64_t first) {
    float x[8], dy[8];
    read8(a.in[0], first, a.n, x);
    read8(a.in[1], first, a.n, dy);
    for (int i = 0; i < 8; i++) x[i] = dy[i] * unary_slope(a.kind, x[i]);
    write8(a.out[0], first, a.n, x);
  });
}

LF_KERNEL(glu_map, MapArgs, kMapThreads) {
  for_all8(a.n, [&](int64_t first) {
    float gate[8], up[8];
    read8(a.in[0], first, a.n, gate);
    read8(a.in[1], first, a.n, up);
    for (int i = 0; i < 8; i++) gate[i] = unary(a.kind, gate[i]) * up[i];
    write8(a.out[0], first, a.n, gate);
  });
}

LF_KERNEL(glu_gradient, MapArgs, kMapThreads) {
  for_all8(a.n, [&](int64_t first) {
    float gate[8], up[8], dout[8];
    read8(a.in[0], first, a.n, gate);
    read8(a.in[1], first, a.n, up);
    read8(a.in[2], first, a.n, dout);
    for (int i = 0; i < 8; i++) {
      const float g = gate[i];
      gate[i] = dout[i] * up[i] * unary_slope(a.kind, g);
      up[i] = dout[i] * unary(a.kind, g);
    }
    write8(a.out[0], first, a.n, gate);
    write8(a.out[1], first, a.n, up);
  });
}

// Eight numbers of the stream from element `first`, a multiple of 8: two blocks of the generator.
LF_ON_DEVICE void uniform8(const RandomArgs& a, int64_t first, float (&u)[8]) {
  for (int half = 0; half < 2; half++) {
    const uint64_t block = uint64_t(first) / 4 + uint64_t(half);
    const Philox p = philox(a.seed_lo, a.seed_hi, uint32_t(block), uint32_t(block >> 32), a.stream, 0);
    for (int i = 0; i < 4; i++) u[4 * half + i] = uniform_of(p.word[i]);
  }
}
LF_KERNEL(random_map, RandomArgs, kMapThreads) {
  for_all8(a.n, [&](int64_t first) {
    float u[8], old[8];
    uniform8(a, first, u);
    if (a.kind == LF_NORMAL) {
      for (int i = 0; i < 8; i += 2) {
        const float radius = sqrt_of(-2.0f * log_of(1.0f - u[i])), angle = 6.2831853071795865f * u[i + 1];
        u[i] = a.a + a.b * radius * cos_of(angle);
        u[i + 1] = a.a + a.b * radius * sin_of(angle);
      }
    } else {
      for (int i = 0; i < 8; i++) u[i] = a.a + (a.b - a.a) * u[i];
    }
    if (a.accumulate) {
      read8(a.out, first, a.n, old);
      for (int i = 0; i < 8; i++) u[i] += old[i];
    }
    write8(a.out, first, a.n, u);
  });
}

LF_KERNEL(dropout_map, RandomArgs, kMapThreads) {
  const float scale = 1.0f / (1.0f - a.a);
  for_all8(a.n, [&](int64_t first) {
    float u[8], x[8];
    uniform8(a, first, u);
    read8(a.x, first, a.n, x);
    for (int i = 0; i < 8; i++) x[i] = u[i] >= a.a ? x[i] * scale : 0.0f;
    write8(a.out, first, a.n, x);
  });
}

}  // namespace lf_gpu
