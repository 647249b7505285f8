// CROSS_ENTROPY without logits in memory: online softmax (Milakov & Gimelshein 2018), with dx accumulated as flash attention
// does its output (Dao 2023), the vocabulary's weights in the place of keys and values.
//
// A task owns some rows and a segment of the vocabulary. It walks the segment in tiles: the tile's logits are formed in the L2
// cache, exponentials relative to the largest logit so far replace them, and their product with the tile's weights continues
//   sums = sum_v exp(z_v - largest) slope_v w_v
// which shrink where a larger logit comes. In the end a row's segments are put together:
//   dx = weight * (sum_segments exp(largest - lse) sums - (1 - p_label) slope_label w_label).
// The label's exponential is kept out of `sums`: 1 - p_label, small where the model is sure, must not lose its digits to the
// rounding of p_label. Every segment is read while the rows' blocks take turns, so that it comes from memory once.
//
// Tiles and segments follow from the vocabulary alone, and each row goes through them in order: no result depends on the
// number of threads nor on the other rows.
#include "arena.h"
#include "cross_entropy.h"
#include "gemm_rows.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr int64_t kTileColumns = 480;  // a multiple of kPanel and of the elements of kLanes words, at every level
constexpr int64_t kSegments = 8;
constexpr int64_t kBlockRows = 128, kFewestRows = 32;
constexpr int64_t kRowBytes = 512 << 10;   // of a block's laid-out rows; of deeper ones it has half as many
constexpr int64_t kChunkBytes = 48 << 20;  // of the rows and sums that exist at a time
static_assert(kTileColumns % kPanel == 0 && kTileColumns % (kLanes * 2) == 0, "tiles are whole panels and whole vectors");

// An odd number of cache lines, so that the rows of a micro-kernel do not fall into the same sets of the L1 cache.
constexpr int64_t leading_dimension(int64_t words) { return ((words + 15) / 16 | 1) * 16; }

// A row's softmax over a segment.
struct Partial {
  float largest;  // of the logits
  float total;    // sum of exp(z - largest)
  float moment;   // sum of exp(z - largest) * (z - largest)
  float label;    // the label's logit, where it lies in the segment
  int32_t argmax;
};

template <typename Words>
class StreamedHead {
 public:
  StreamedHead(Context& ctx, const LabelledRows& labelled)
      : ctx_(ctx), labelled_(labelled), options_(labelled.options), o_(labelled.o), depth_(labelled.depth),
        vocabulary_(labelled.vocabulary), wants_dx_(o_[kDx].present()), wants_entropy_(o_[kEntropy].present()),
        forward_(columns_of(o_[kW])), backward_(columns_of(o_[kWBackward].present() ? o_[kWBackward] : o_[kW], true)) {
    const int64_t tiles = ceil_div(vocabulary_, kTileColumns);
    segment_columns_ = ceil_div(tiles, kSegments) * kTileColumns;
    segments_ = ceil_div(vocabulary_, segment_columns_);
    words_ = ceil_div(depth_, Words::kUnit);
    lda_ = leading_dimension(words_);
    depth_panels_ = wants_dx_ ? ceil_div(depth_, kPanel) : 0;
  }

  const char* run(const char* op, int64_t labelled) {
    if (labelled == 0) {
      labelled_.list(nullptr);
      return nullptr;
    }
    const int64_t most = larger(kBlockRows, kChunkBytes / (4 * (lda_ + segments_ * depth_panels_ * kPanel)));
    const int64_t chunk_rows = ceil_div(labelled, ceil_div(labelled, most));
    choose_blocks(chunk_rows);
    const size_t bytes = carve_shared(labelled_.rows, nullptr), local_bytes = carve_local(nullptr, nullptr);
    uint8_t* memory = static_cast<uint8_t*>(ctx_.shared(bytes));
    if (!memory) return out_of_scratch(ctx_, op, bytes);
    carve_shared(labelled_.rows, memory);
    for (int w = 0; w < ctx_.workers(); w++)
      if (!ctx_.local(w, local_bytes)) return out_of_scratch(ctx_, op, local_bytes);
    local_bytes_ = local_bytes;
    labelled_.list(index_);
    for (int64_t first = 0; first < labelled; first += chunk_rows)
      run_chunk(index_ + first, smaller(chunk_rows, labelled - first));
    return nullptr;
  }

 private:
  struct Local {
    float* logits;       // [panels of a tile][block rows][kPanel]
    uint32_t* weights;   // exponentials as words [block rows][kLda]
    float* row;          // a tile's exponentials, or a row of dx
    float* bias;         // of a tile
    uint32_t* panel;     // a block of a panel that is not in memory as words
    float* decoded;
  };

  static constexpr int64_t kTileWords = kTileColumns / Words::kUnit, kLda = leading_dimension(kTileWords);

  // Blocks of rows: large, for each reads the weights; but enough for the threads there are.
  void choose_blocks(int64_t rows) {
    const int64_t wanted = ceil_div(2 * ctx_.workers(), segments_);
    const int64_t least = ceil_div(rows, lda_ * kBlockRows * 4 > kRowBytes ? kBlockRows / 2 : kBlockRows);
    const int64_t blocks = larger(least, smaller(wanted, ceil_div(rows, kFewestRows)));
    block_rows_ = round_up(ceil_div(rows, blocks), kMicroRows);
    blocks_ = ceil_div(rows, block_rows_);
  }

  size_t carve_shared(int64_t rows, uint8_t* base) {
    Arena arena{base};
    index_ = arena.take<int32_t>(rows);
    x_ = arena.take<uint32_t>(blocks_ * block_rows_ * lda_);
    partials_ = arena.take<Partial>(segments_ * blocks_ * block_rows_);
    sums_ = arena.take<float>(segments_ * blocks_ * block_rows_ * depth_panels_ * kPanel);
    return arena.used;
  }

  size_t carve_local(uint8_t* base, Local* local) const {
    Arena arena{base};
    Local unused;
    if (!local) local = &unused;
    const bool decodes = is_block_format(forward_.dtype);
    local->logits = arena.take<float>(kTileColumns * block_rows_);
    local->weights = arena.take<uint32_t>(wants_dx_ ? block_rows_ * kLda : 0);
    local->row = arena.take<float>(larger(kTileColumns, depth_panels_ * kPanel));
    local->bias = arena.take<float>(kTileColumns);
    local->panel = arena.take<uint32_t>(kDepth * kPanel);
    local->decoded = arena.take<float>(decodes ? fill_scratch(kDepth * Words::kUnit) : 0);
    return arena.used;
  }
  Local local_of(int worker) const {
    Local local;
    carve_local(static_cast<uint8_t*>(ctx_.local(worker, local_bytes_)), &local);
    return local;
  }

  Partial& partial(int64_t segment, int64_t block, int64_t r) const {
    return partials_[(segment * blocks_ + block) * block_rows_ + r];
  }
  // Panel `panel` of the sums of a block's rows: [block rows][kPanel].
  float* sums(int64_t segment, int64_t block, int64_t panel) const {
    return sums_ + ((segment * blocks_ + block) * depth_panels_ + panel) * block_rows_ * kPanel;
  }

  void run_chunk(const int32_t* index, int64_t rows) {
    const View& x = o_[kX];
    ctx_.for_each(rows, [&](int64_t i, int) {
      pack_words<Words>(x.dtype, x.data + index[i] * x.stride[0] * element_bytes(x.dtype), 0, x.stride[1], 1, depth_,
                        {x_ + i * lda_, lda_, 1}, 0);
    });
    const int64_t blocks = ceil_div(rows, block_rows_);
    ctx_.for_each(segments_ * blocks, [&](int64_t task, int worker) {
      const int64_t block = task % blocks;
      run_segment(index, task / blocks, block, smaller(block_rows_, rows - block * block_rows_), worker);
    });
    ctx_.for_each(rows, [&](int64_t i, int worker) { finish_row(i / block_rows_, i % block_rows_, index[i], worker); });
  }

  void run_segment(const int32_t* index, int64_t segment, int64_t block, int64_t rows, int worker) {
    const Local local = local_of(worker);
    const uint32_t* x = x_ + block * block_rows_ * lda_;
    const int64_t begin = segment * segment_columns_, end = smaller(vocabulary_, begin + segment_columns_);
    for (int64_t column = begin; column < end; column += kTileColumns) {
      const int64_t columns = smaller(kTileColumns, end - column);
      load_bias(column, columns, local.bias);
      for (int64_t c = 0; c < columns; c += kPanel)
        multiply_panel<Words>(x, lda_, rows, forward_, forward_.data, vocabulary_, depth_, column + c, 0, depth_,
                              c + kPanel < columns, local.panel, local.decoded, local.logits + c * block_rows_, false);
      for (int64_t r = 0; r < rows; r++)
        fold(local, segment, block, r, labelled_.label(index[block * block_rows_ + r]), column, columns, column == begin);
      for (int64_t p = 0; p < depth_panels_; p++)
        multiply_panel<Words>(local.weights, kLda, rows, backward_, backward_.data, depth_, vocabulary_, p * kPanel, column,
                              columns, p + 1 < depth_panels_, local.panel, local.decoded, sums(segment, block, p),
                              column > begin);
    }
  }

  void load_bias(int64_t column, int64_t columns, float* bias) const {
    const View& v = o_[kBias];
    if (!v.present()) return;
    with_float(v.dtype, [&](auto type) {
      widen_row(v.as<const decltype(type)>() + column * v.stride[0], columns, v.stride[0], bias);
    });
  }

  // Takes a tile's logits of one row into its softmax and leaves their exponentials as words.
  void fold(const Local& local, int64_t segment, int64_t block, int64_t r, int32_t label, int64_t column, int64_t columns,
            bool first) const {
    Partial& state = partial(segment, block, r);
    if (first) state = {-__builtin_inff(), 0.0f, 0.0f, 0.0f, 0};
    // Element c of the tile; a vector never crosses panels.
    const auto at = [&](int64_t c) { return local.logits + (c / kPanel * block_rows_ + r) * kPanel + c % kPanel; };
    const float largest = transform(at, columns, local.bias);
    if (label >= column && label < column + columns) state.label = *at(label - column);
    if (largest > state.largest) {
      if (o_[kArgmax].present()) {
        int64_t c = 0;
        while (c + 1 < columns && *at(c) != largest) c++;
        state.argmax = int32_t(column + c);
      }
      rescale(state, segment, block, r, largest, first);
    }
    const float shift = state.largest > -__builtin_inff() ? state.largest : 0.0f, cap = options_.softcap;
    const float inverse_cap = cap > 0.0f ? 1.0f / cap : 0.0f;
    f32v total = {}, moment = {};
    for (int64_t c = 0; c < round_up(columns, kLanes); c += kLanes) {
      const f32v z = load(at(c)), shifted = z - shift;
      f32v e = exp(shifted);
      total += e;
      // 0 * -inf would be NaN.
      if (wants_entropy_) moment += select(e > f32v{}, e * shifted, f32v{});
      if (cap > 0.0f) e *= select(e > f32v{}, 1.0f - (z * inverse_cap) * (z * inverse_cap), f32v{});
      store(local.row + c, e);
    }
    state.total += sum(total);
    state.moment += sum(moment);
    if (!wants_dx_) return;
    if (label >= column && label < column + columns) local.row[label - column] = 0.0f;
    uint32_t* words = local.weights + r * kLda;
    constexpr int64_t kSpan = kLanes * Words::kUnit;
    for (int64_t c = round_up(columns, kLanes); c < round_up(columns, kSpan); c += kLanes) store(local.row + c, f32v{});
    for (int64_t c = 0; c < columns; c += kSpan) store_words(words + c / Words::kUnit, Words::along(local.row + c));
  }

  // Bias, scale and softcap in place, -infinity beyond the end; returns the largest.
  template <typename At>
  float transform(const At& at, int64_t columns, const float* bias) const {
    const bool plain = options_.plain() && !o_[kBias].present();
    f32v largest = broadcast(-__builtin_inff());
    for_lanes(columns, [&](int64_t c, int64_t lanes) {
      f32v z = load(at(c));
      if (!plain) {
        if (o_[kBias].present()) z += load_lanes(bias + c, lanes);
        z = z * options_.logit_scale;
        if (options_.softcap > 0.0f) z = options_.softcap * tanh(z / options_.softcap);
      }
      if (lanes < kLanes) z = select(lane_index() < int32_t(lanes), z, broadcast(-__builtin_inff()));
      if (!plain || lanes < kLanes) store(at(c), z);
      largest = max(largest, z);
    });
    return max_lane(largest);
  }

  // From here on exponentials are relative to `largest`.
  void rescale(Partial& state, int64_t segment, int64_t block, int64_t r, float largest, bool first) const {
    const bool empty = state.largest == -__builtin_inff();
    const float difference = state.largest - largest, factor = empty ? 0.0f : __builtin_expf(difference);
    if (!empty) state.moment = factor * (state.moment + difference * state.total);
    state.total *= factor;
    state.largest = largest;
    if (first) return;
    for (int64_t p = 0; p < depth_panels_; p++) {
      float* row = sums(segment, block, p) + r * kPanel;
      for (int64_t i = 0; i < kPanel; i += kLanes) store(row + i, load(row + i) * factor);
    }
  }

  void finish_row(int64_t block, int64_t r, int64_t t, int worker) const {
    const int32_t label = labelled_.label(t);
    float largest = -__builtin_inff();
    RowStatistics row = {};
    for (int64_t s = 0; s < segments_; s++) {
      const Partial& part = partial(s, block, r);
      if (part.largest > largest) largest = part.largest, row.argmax = part.argmax;
    }
    float total = 0.0f, moment = 0.0f;
    for (int64_t s = 0; s < segments_; s++) {
      const Partial& part = partial(s, block, r);
      const float difference = part.largest - largest, factor = __builtin_expf(difference);
      total += factor * part.total;
      if (factor > 0.0f) moment += factor * (part.moment + difference * part.total);
    }
    const float target = partial(label / segment_columns_, block, r).label;
    row.lse = largest + __builtin_logf(total);
    row.nll = row.lse - target;
    row.entropy = __builtin_logf(total) - moment / total;
    labelled_.write(t, row);
    if (wants_dx_) input_gradient(block, r, t, label, row.lse, target, local_of(worker));
  }

  void input_gradient(int64_t block, int64_t r, int64_t t, int32_t label, float lse, float target, const Local& local) const {
    const float weight = labelled_.weight(t) * options_.logit_scale, cap = options_.softcap;
    float factors[kSegments];
    for (int64_t s = 0; s < segments_; s++) factors[s] = weight * __builtin_expf(partial(s, block, r).largest - lse);
    float slope = weight * (__builtin_expf(target - lse) - 1.0f);
    if (cap > 0.0f) slope *= 1.0f - (target / cap) * (target / cap);
    const int64_t even = label / 2 * 2;
    for (int64_t p = 0; p < depth_panels_; p++) {
      // The label's row of the weight, out of two that may share their words.
      const uint32_t* words = stored_words<Words>(backward_, backward_.data, vocabulary_, p * kPanel, even);
      if (!words) {
        fill_panel<Words>(backward_, backward_.data, depth_, vocabulary_, p * kPanel, even,
                          smaller<int64_t>(2, vocabulary_ - even), local.panel, local.decoded);
        words = local.panel;
      }
      for (int64_t i = 0; i < kPanel; i += kLanes) {
        u32v w = load_words(words + (Words::kUnit == 1 ? label % 2 * kPanel : 0) + i);
        if (Words::kUnit == 2) w = label % 2 ? w & 0xffff0000u : w << 16;
        f32v gradient = as_f32(w) * slope;
        for (int64_t s = 0; s < segments_; s++)
          gradient = fma(load(sums(s, block, p) + r * kPanel + i), broadcast(factors[s]), gradient);
        store(local.row + p * kPanel + i, gradient);
      }
    }
    const View& dx = o_[kDx];
    write_row(dx, t * dx.stride[0], depth_, dx.stride[1], local.row);
  }

  Context& ctx_;
  const LabelledRows& labelled_;
  const CrossEntropyOptions& options_;
  const View* const o_;
  const int64_t depth_, vocabulary_;
  const bool wants_dx_, wants_entropy_;
  const Columns forward_, backward_;
  int64_t segment_columns_, segments_, words_, lda_, depth_panels_, block_rows_ = 0, blocks_ = 0;
  size_t local_bytes_ = 0;
  int32_t* index_ = nullptr;
  uint32_t* x_ = nullptr;
  Partial* partials_ = nullptr;  // [segment][block][row]
  float* sums_ = nullptr;        // [segment][block][panel of dx][row][kPanel]
};

}  // namespace

bool streams_cross_entropy(const LabelledRows& rows) {
  const View* o = rows.o;
  if (o[kDw].present() || o[kDbias].present() || rows.options.smoothing != 0.0f) return false;
  // A block format has no panels along N.
  return !o[kDx].present() || o[kWBackward].present() || !is_block_format(o[kW].dtype);
}

const char* stream_cross_entropy(Context& ctx, const char* op, const LabelledRows& rows, int64_t labelled) {
  if (rows.options.math == LF_MATH_BF16) return StreamedHead<Bf16Words>(ctx, rows).run(op, labelled);
  return StreamedHead<FloatWords>(ctx, rows).run(op, labelled);
}

}  // namespace LF_ISA
}  // namespace lf_cpu
