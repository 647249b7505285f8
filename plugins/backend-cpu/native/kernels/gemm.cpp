// The blocked product: tiles of rows x columns over packed panels.
//
// A task owns some rows and some panels of columns. It lays its rows out once (they stay in the L2 cache), then walks the
// panels; a block of kDepth words of a panel stays in L1 while the rows stream past it.
#include "gemm.h"

#include "gemm_output.h"
#include "gemm_panel.h"
#include "gemm_rows.h"
#include "packed_format.h"

namespace lf_cpu {
namespace LF_ISA {
namespace {

constexpr int64_t kBlockRows = LF_ISA_LEVEL == 1 ? 96 : 64;  // rows of a task
constexpr int64_t kRowBytes = 512 << 10;         // of laid-out rows a task keeps; deeper products take several passes
constexpr int64_t kPassRowBytes = 256 << 10;     // of rows that one of several passes lays out
constexpr int64_t kPassPanels = 12;              // panels whose sums a task keeps between passes
constexpr int64_t kThinRows = 16;                // of a product whose time is that of reading the other factor
constexpr int64_t kThinWords = 64;               // that it covers in a pass
constexpr int64_t kSharedBytes = 16 << 20;       // of converted panels at a time
constexpr int64_t kCacheLine = 64;

struct RowBlock {
  int64_t first, count;
  int32_t adapter;
};

// State of one thread, on a cache line of its own.
struct alignas(kCacheLine) WorkerState {
  int64_t block;  // whose rows its memory holds, or -1
};

template <typename Words>
class Multiplication {
 public:
  Multiplication(Context& ctx, const Product& product, const Product* factors = nullptr)
      : ctx_(ctx), p_(product), factors_(factors) {
    workers_ = ctx.workers();
    words_ = ceil_div(p_.k, Words::kUnit);
    words2_ = ceil_div(p_.k2, Words::kUnit);
    panels_ = ceil_div(p_.n, kPanel);
    direct_ = p_.b.packed && holds_words<Words>(p_.b.dtype);

    block_rows_ = choose_block_rows();
    blocks_ = ceil_div(p_.m, block_rows_);
    if (p_.runs_select_b) {
      blocks_ = 0;
      for (int64_t i = 0; i < p_.run_count; i++) blocks_ += ceil_div(p_.runs[i].count, block_rows_);
    }
    passes_ = 1, pass_words_ = words_;
    if (words_ * block_rows_ * 4 > kRowBytes) {
      pass_words_ = larger<int64_t>(1, kPassRowBytes / 4 / block_rows_ / kDepth) * kDepth;
      passes_ = ceil_div(words_, pass_words_);
    }
    // Strips of a matrix that lies by rows are read a few rows at a time, while their neighbours are still in the caches.
    thin_ = p_.m <= kThinRows && words_ > 2 * kThinWords && !p_.b.packed && p_.b.column_stride == 1 && !p_.runs;
    if (thin_) pass_words_ = kThinWords, passes_ = ceil_div(words_, pass_words_);
    lda_ = leading_dimension(pass_words_);
    lda2_ = leading_dimension(words2_);
    // Several blocks of rows would convert the same panels again and again: convert them once, for all to read.
    shares_ = !direct_ && !p_.runs_select_b && blocks_ > 1 && p_.k > 0;
    chunk_panels_ = panels_;
    if (shares_) chunk_panels_ = smaller(panels_, larger<int64_t>(1, kSharedBytes / (words_ * kPanel * 4 + 1)));
    joins_ = factors && passes_ == 1 && chunk_panels_ == panels_ && groups_of(panels_) == 1 && !p_.runs &&
             !is_block_format(factors->b.dtype) && factors->b.group_bytes == 0;
    // So would they with the panels of the update, whose depth is small.
    shares_update_ = p_.k2 > 0 && blocks_ > 1 && !p_.runs && !is_block_format(p_.b2.dtype);
  }

  size_t scratch_bytes() const {
    size_t bytes = workers_ * sizeof(WorkerState);
    if (p_.runs_select_b) bytes += round_up(blocks_ * int64_t(sizeof(RowBlock)), kCacheLine);
    if (shares_) bytes += chunk_panels_ * words_ * kPanel * 4;
    if (joins_) bytes += factor_panels() * words_ * kPanel * 4;
    if (shares_update_) bytes += panels_ * words2_ * kPanel * 4;
    return bytes;
  }
  // Whether the factors are formed with the product's own rows.
  bool joins() const { return joins_; }

  const char* run(const char* op, void* scratch) {
    uint8_t* memory = static_cast<uint8_t*>(scratch);
    states_ = reinterpret_cast<WorkerState*>(memory);
    memory += workers_ * sizeof(WorkerState);
    for (int i = 0; i < workers_; i++) states_[i].block = -1;
    if (p_.runs_select_b) {
      run_blocks_ = reinterpret_cast<RowBlock*>(memory);
      memory += round_up(blocks_ * int64_t(sizeof(RowBlock)), kCacheLine);
      split_runs();
    }
    shared_words_ = reinterpret_cast<uint32_t*>(memory);
    factor_words_ = shared_words_ + (shares_ ? chunk_panels_ * words_ * kPanel : 0);
    update_words_ = factor_words_ + (joins_ ? factor_panels() * words_ * kPanel : 0);
    share_low_rank_panels();
    for (int64_t first = 0; first < panels_; first += chunk_panels_) {
      const int64_t count = smaller(chunk_panels_, panels_ - first);
      if (shares_) share_panels(first, count);
      multiply_panels(first, count);
      if (failed_) return out_of_scratch(ctx_, op, local_bytes());
    }
    return nullptr;
  }

 private:
  // An odd number of cache lines, so that the rows of a micro-kernel do not fall into the same sets of the L1 cache.
  static int64_t leading_dimension(int64_t words) { return (ceil_div(words, 16) | 1) * 16; }

  // The largest block with which the busiest thread has the fewest rows.
  int64_t choose_block_rows() const {
    int64_t best = smaller<int64_t>(kBlockRows, larger<int64_t>(kMicroRows, round_up(p_.m, kMicroRows)));
    int64_t fewest = INT64_MAX;
    for (int64_t rows = best; 2 * rows >= kBlockRows; rows -= kMicroRows) {
      const int64_t busiest = ceil_div(ceil_div(p_.m, rows), workers_) * rows;
      if (busiest < fewest) fewest = busiest, best = rows;
    }
    return best;
  }

  bool needs_decoding() const { return is_block_format(p_.b.dtype) || is_block_format(p_.b2.dtype); }
  int64_t tile_panels() const { return passes_ == 1 ? 1 : kPassPanels; }
  size_t local_bytes() const {
    const int64_t depth = kDepth * Words::kUnit;
    return 4 * (block_rows_ * (lda_ + lda2_ + tile_panels() * kPanel) + kDepth * kPanel +
                (needs_decoding() ? fill_scratch(depth) : 0));
  }

  void split_runs() {
    int64_t next = 0;
    for (int64_t i = 0; i < p_.run_count; i++)
      for (int64_t r = 0; r < p_.runs[i].count; r += block_rows_)
        run_blocks_[next++] = {p_.runs[i].first + r, smaller(block_rows_, p_.runs[i].count - r), p_.runs[i].adapter};
  }
  RowBlock row_block(int64_t i) const {
    if (p_.runs_select_b) return run_blocks_[i];
    return {i * block_rows_, smaller(block_rows_, p_.m - i * block_rows_), 0};
  }

  void share_panels(int64_t first, int64_t count) {
    const int64_t depth = kDepth * Words::kUnit;
    ctx_.for_each(count, [&](int64_t task, int worker) {
      float* scratch = nullptr;
      if (needs_decoding()) {
        scratch = static_cast<float*>(ctx_.local(worker, local_bytes()));
        if (!scratch) return fail();
      }
      uint32_t* words = shared_words_ + task * words_ * kPanel;
      for (int64_t k0 = 0; k0 < p_.k; k0 += depth)
        fill_panel<Words>(p_.b, p_.b.data, p_.n, p_.k, (first + task) * kPanel, k0, smaller(depth, p_.k - k0),
                          words + k0 / Words::kUnit * kPanel, scratch);
    });
    // Decoding overwrote what the threads' own memory held.
    if (needs_decoding())
      for (int i = 0; i < workers_; i++) states_[i].block = -1;
  }

  // How many tasks share a block of rows.
  int64_t groups_of(int64_t panels) const {
    const int64_t wanted = workers_ == 1 ? 1 : workers_ * (thin_ ? 2 : blocks_ == 1 ? 8 : 4);
    const int64_t groups = blocks_ >= wanted ? 1 : smaller(panels, ceil_div(wanted, larger<int64_t>(1, blocks_)));
    return passes_ > 1 ? larger(groups, ceil_div(panels, kPassPanels)) : groups;
  }

  void multiply_panels(int64_t first, int64_t count) {
    int64_t groups = groups_of(count);
    const int64_t group_panels = ceil_div(count, groups);
    groups = ceil_div(count, group_panels);
    ctx_.for_each(blocks_ * groups, [&](int64_t task, int worker) {
      const int64_t start = task % groups * group_panels;
      multiply_tile(task / groups, first + start, smaller(group_panels, count - start), first, worker);
    });
  }

  struct Local {
    uint32_t *rows, *rows2, *panel;
    float *tile, *scratch;
  };

  // Rows `index` of the block times panels [first, first + count). Shared panels start at panel `shared_first`.
  void multiply_tile(int64_t index, int64_t first, int64_t count, int64_t shared_first, int worker) {
    void* memory = ctx_.local(worker, local_bytes());
    if (!memory) return fail();
    Local local;
    local.rows = static_cast<uint32_t*>(memory);
    local.rows2 = local.rows + block_rows_ * lda_;
    local.tile = reinterpret_cast<float*>(local.rows2 + block_rows_ * lda2_);
    local.panel = reinterpret_cast<uint32_t*>(local.tile + block_rows_ * tile_panels() * kPanel);
    local.scratch = reinterpret_cast<float*>(local.panel + kDepth * kPanel);
    const RowBlock block = row_block(index);
    const bool laid_out = passes_ == 1 && states_[worker].block == index;
    states_[worker].block = index;
    for (int64_t pass = 0; pass < passes_; pass++) {
      const int64_t k0 = pass * pass_words_ * Words::kUnit;
      const int64_t depth = smaller(p_.k - k0, pass_words_ * Words::kUnit);
      if (!laid_out) lay_out_rows(block, k0, depth, local.rows);
      if (joins_) form_factors(block, local);
      if (!laid_out && pass == 0 && p_.k2)
        pack_words<Words>(p_.a2 + block.first * p_.k2, p_.k2, 1, block.count, p_.k2, {local.rows2, lda2_, 1}, 0);
      for (int64_t i = 0; i < count; i++) {
        float* tile = local.tile + (passes_ == 1 ? 0 : i * block_rows_ * kPanel);
        const int64_t panel = first + i;
        if (pass + 1 == passes_) prefetch_output(block, panel);
        if (block.adapter >= 0 && p_.k)
          add_product(block, panel, i + 1 < count, k0, depth, panel - shared_first, local, tile);
        else if (p_.start)
          load_start(block, panel, tile);
        else
          __builtin_memset(tile, 0, block.count * kPanel * 4);
        if (pass + 1 < passes_) continue;
        if (p_.k2) add_update(block, panel, local, tile);
        const int64_t column = panel * kPanel;
        write_tile<kPanel>(p_.out, block.first, block.count, column, smaller<int64_t>(kPanel, p_.n - column), p_.n, tile);
      }
    }
  }

  int64_t factor_panels() const { return ceil_div(p_.k2, kPanel); }

  void share_low_rank_panels() {
    const int64_t depth = kDepth * Words::kUnit, steps = ceil_div(p_.k, depth);
    const int64_t factor_tasks = joins_ ? factor_panels() * steps : 0, update_tasks = shares_update_ ? panels_ : 0;
    ctx_.for_each(factor_tasks + update_tasks, [&](int64_t task, int) {
      if (task >= factor_tasks) {
        const int64_t panel = task - factor_tasks;
        fill_panel<Words>(p_.b2, p_.b2.data, p_.n, p_.k2, panel * kPanel, 0, p_.k2, update_words_ + panel * words2_ * kPanel,
                          nullptr);
        return;
      }
      const int64_t panel = task / steps, k0 = task % steps * depth;
      fill_panel<Words>(factors_->b, factors_->b.data, p_.k2, p_.k, panel * kPanel, k0, smaller(depth, p_.k - k0),
                        factor_words_ + (panel * words_ + k0 / Words::kUnit) * kPanel, nullptr);
    });
  }

  // The block's rows of a2, and of what else is asked of the factors.
  void form_factors(const RowBlock& block, const Local& local) {
    for (int64_t panel = 0; panel < factor_panels(); panel++) {
      const int64_t column = panel * kPanel, columns = smaller<int64_t>(kPanel, p_.k2 - column);
      const uint32_t* words = factor_words_ + panel * words_ * kPanel;
      for (int64_t w = 0; w < words_; w += kDepth)
        multiply_rows<Words>(local.rows + w, lda_, block.count, words + w * kPanel, smaller(kDepth, words_ - w),
                      int(ceil_div(columns, kLanes)), local.tile, w > 0);
      write_tile<kPanel>(factors_->out, block.first, block.count, column, columns, p_.k2, local.tile);
    }
  }

  void lay_out_rows(const RowBlock& block, int64_t k0, int64_t depth, uint32_t* words) {
    const Rows& a = p_.a;
    const int size = element_bytes(a.dtype);
    if (!a.index) {
      pack_words<Words>(a.dtype, a.data + (block.first * a.row_stride + k0 * a.k_stride) * size, a.row_stride,
                        a.k_stride, block.count, depth, {words, lda_, 1}, 0);
      return;
    }
    for (int64_t r = 0; r < block.count; r++)
      pack_words<Words>(a.dtype, a.data + (a.index[block.first + r] * a.row_stride + k0 * a.k_stride) * size, 0,
                        a.k_stride, 1, depth, {words + r * lda_, lda_, 1}, 0);
  }

  // tile (+)= the laid-out rows times elements [k0, k0 + depth) of a panel of b. Starts the sums where k0 is 0. `follows`
  // says that the same elements of the next panel are the next to be read.
  void add_product(const RowBlock& block, int64_t panel, bool follows, int64_t k0, int64_t depth, int64_t shared_panel,
                   const Local& local, float* tile) {
    const int64_t words = ceil_div(depth, Words::kUnit);
    if (shares_) {
      const uint32_t* ready = shared_words_ + (shared_panel * words_ + k0 / Words::kUnit) * kPanel;
      return multiply_words<Words>(local.rows, lda_, block.count, ready, words, vectors_of(panel), tile, k0 > 0,
                                   follows ? ready + words_ * kPanel : nullptr);
    }
    if constexpr (kStoredPair == 1) {
      // For a few rows, widening bf16 in the micro-kernel costs less than laying the panel out anew.
      if (p_.b.packed && p_.b.dtype == LF_BF16 && block.count <= 2 * kMicroRows) {
        const bf16* stored = reinterpret_cast<const bf16*>(p_.b.data) + (panel * p_.k + k0) * kPanel;
        return multiply_rows<Words>(local.rows, lda_, block.count, stored, words, vectors_of(panel), tile, k0 > 0);
      }
    }
    const uint8_t* data = p_.b.data + (p_.runs_select_b ? block.adapter * p_.b.group_bytes : 0);
    multiply_panel<Words>(local.rows, lda_, block.count, p_.b, data, p_.n, p_.k, panel * kPanel, k0, depth, follows,
                          local.panel, local.scratch, tile, k0 > 0);
  }

  // tile = the sums that were formed before.
  void load_start(const RowBlock& block, int64_t panel, float* tile) const {
    const int64_t column = panel * kPanel, count = smaller<int64_t>(kPanel, p_.n - column);
    for (int64_t r = 0; r < block.count; r++)
      for_lanes(count, [&](int64_t i, int64_t lanes) {
        store(tile + r * kPanel + i, load_lanes(p_.start + (block.first + r) * p_.n + column + i, lanes));
      });
  }

  // tile += a2 b2, for each run of rows with its own adapter.
  void add_update(const RowBlock& block, int64_t panel, const Local& local, float* tile) {
    if (shares_update_)
      return multiply_words<Words>(local.rows2, lda2_, block.count, update_words_ + panel * words2_ * kPanel, words2_,
                                   vectors_of(panel), tile, true, nullptr);
    const RowRun all = {block.first, block.count, 0};
    const RowRun* runs = p_.runs && !p_.runs_select_b ? p_.runs : &all;
    const int64_t count = runs == &all ? 1 : p_.run_count;
    for (int64_t i = 0; i < count; i++) {
      const int64_t from = larger(runs[i].first, block.first);
      const int64_t to = smaller(runs[i].first + runs[i].count, block.first + block.count);
      if (from >= to || runs[i].adapter < 0) continue;
      for (int64_t w = 0; w < words2_; w += kDepth) {
        const int64_t n = smaller(kDepth, words2_ - w), start = w * Words::kUnit;
        fill_panel<Words>(p_.b2, p_.b2.data + runs[i].adapter * p_.b2.group_bytes, p_.n, p_.k2, panel * kPanel, start,
                          smaller(n * Words::kUnit, p_.k2 - start), local.panel, local.scratch);
        multiply_rows<Words>(local.rows2 + (from - block.first) * lda2_ + w, lda2_, to - from, local.panel, n,
                      vectors_of(panel), tile + (from - block.first) * kPanel, true);
      }
    }
  }

  int vectors_of(int64_t panel) const { return panel_vectors(p_.n, panel * kPanel); }

  // Fetches the memory that `write_tile` will write while the sums are formed.
  void prefetch_output(const RowBlock& block, int64_t panel) const {
    const Output& out = p_.out;
    if (!out.data || out.column_stride != 1) return;
    const int size = element_bytes(out.dtype);
    const int64_t bytes = smaller<int64_t>(kPanel, p_.n - panel * kPanel) * size;
    for (int64_t r = 0; r < block.count; r++) {
      const int64_t row = out.index ? out.index[block.first + r] : block.first + r;
      const uint8_t* p = out.data + (row * out.row_stride + panel * kPanel) * size;
      for (int64_t i = 0; i < bytes; i += kCacheLine) __builtin_prefetch(p + i, 1);
    }
  }

  void fail() { __atomic_store_n(&failed_, true, __ATOMIC_RELAXED); }

  Context& ctx_;
  const Product& p_;
  const Product* factors_;
  int workers_;
  int64_t words_, words2_, panels_, chunk_panels_, block_rows_, blocks_, pass_words_, passes_, lda_, lda2_;
  bool direct_, thin_, shares_, joins_, shares_update_, failed_ = false;
  WorkerState* states_ = nullptr;
  RowBlock* run_blocks_ = nullptr;
  uint32_t *shared_words_ = nullptr, *factor_words_ = nullptr, *update_words_ = nullptr;
};

template <typename Words>
size_t scratch_of(Context& ctx, const Product& product, const Product* factors) {
  const Multiplication<Words> multiplication(ctx, product, factors);
  const size_t bytes = multiplication.scratch_bytes();
  if (!factors || multiplication.joins()) return bytes;
  return larger(bytes, Multiplication<Words>(ctx, *factors).scratch_bytes());
}

template <typename Words>
const char* multiply_words(Context& ctx, const char* op, const Product& product, void* scratch, const Product* factors) {
  Multiplication<Words> multiplication(ctx, product, factors);
  if (factors && !multiplication.joins()) LF_CHECK(multiply(ctx, op, *factors, scratch));
  return multiplication.run(op, scratch);
}

}  // namespace

size_t product_scratch(Context& ctx, const Product& product, const Product* factors) {
  if (product.math == LF_MATH_BF16) return scratch_of<Bf16Words>(ctx, product, factors);
  return scratch_of<FloatWords>(ctx, product, factors);
}

const char* multiply(Context& ctx, const char* op, const Product& product, void* scratch, const Product* factors) {
  if (product.m == 0 || product.n == 0) return factors ? multiply(ctx, op, *factors, scratch) : nullptr;
  if (product.math == LF_MATH_BF16) return multiply_words<Bf16Words>(ctx, op, product, scratch, factors);
  return multiply_words<FloatWords>(ctx, op, product, scratch, factors);
}

// ---------------------------------------------------------------------------------------------------------- packing --

int64_t panel_width() { return kPanel; }

uint64_t packed_bytes(lf_dtype dtype, int64_t columns, int64_t k, uint32_t group) {
  if (is_block_format(dtype)) return packed_format_bytes(dtype, columns, k, group);
  if (dtype != LF_F32 && dtype != LF_BF16) return 0;
  return uint64_t(ceil_div(columns, kPanel)) * stored_rows(dtype, k) * stored_row_bytes(dtype);
}

size_t pack_scratch(int64_t depth) {
  // Decoded elements, and where bf16 is stored singly a panel of words on its way there.
  return 4 * (fill_scratch(depth) + kPanel * depth);
}

void pack_columns(const Columns& source, lf_dtype dtype, int64_t columns, int64_t k, int64_t first, int64_t count,
                  int64_t k0, int64_t depth, uint8_t* packed, float* scratch) {
  for (int64_t column = first; column < first + count; column += kPanel) {
    uint8_t* panel = packed + column / kPanel * stored_rows(dtype, k) * stored_row_bytes(dtype);
    if (dtype == LF_F32) {
      fill_panel<FloatWords>(source, source.data, columns, k, column, k0, depth,
                             reinterpret_cast<uint32_t*>(panel) + k0 * kPanel, scratch);
    } else if constexpr (kStoredPair == 2) {
      fill_panel<Bf16Words>(source, source.data, columns, k, column, k0, depth,
                            reinterpret_cast<uint32_t*>(panel) + k0 / 2 * kPanel, scratch);
    } else {
      float* words = scratch + fill_scratch(depth);
      fill_panel<FloatWords>(source, source.data, columns, k, column, k0, depth, reinterpret_cast<uint32_t*>(words),
                             scratch);
      narrow_row(reinterpret_cast<bf16*>(panel) + k0 * kPanel, depth * kPanel, 1, words);
    }
  }
}

}  // namespace LF_ISA
}  // namespace lf_cpu
