// Products with weights that stay in 4 bits (LF_Q4_Z, LF_Q4_0 packed: block_formats.h says how they lie). Rows of x and codes are
// copied to shared memory asynchronously, several slices of the depth under way at a time; a lane reads the codes of its part of
// the matrix unit's operand as one piece, and decodes them in registers with the scales and zeros of their groups. The
// design is MARLIN's (Frantar et al. 2024, section 3).
#include "gemm.h"

#include "gemm_parts.h"

namespace lf_gpu {

// Where along the groups of the depth a slice lies, counted from the first slice on.
struct GroupWalk {
  int slices, within;  // slices of a group; slices of this group before this one
  uint32_t number;     // of the group
  bool begins;         // its entries are needed
  LF_ON_DEVICE GroupWalk(const MatrixSource& s, int slice) : slices(int(s.group_depth) / kPackedDepth), within(slice % slices), number(uint32_t(slice / slices)), begins(true) {}
  LF_ON_DEVICE void advance() {
    begins = ++within == slices;
    if (begins) within = 0, number++;
  }
};

#if defined(LF_MMA_BF16)

// A tile of rows of 32 bf16 without padding: the four pieces of 16 bytes of a row change places with the row, so that
// lanes with neighbouring rows, or parts of rows, read different banks.
LF_ON_DEVICE int piece_of(int row, int eighth) { return row * (kPackedDepth / 8) + (eighth ^ (row / 2 & 3)); }

// A thread's part of the copies of kRows rows of bf16, a slice of the depth at a time; kThreads take part, of which this is number
// `thread`.
template <int kRows, int kThreads>
struct RowCopy {
  static constexpr int kPieces = kRows * kPackedDepth / 8, kTurns = (kPieces + kThreads - 1) / kThreads;
  const bf16 *data, *from;
  int64_t step;  // from the rows of one turn to those of the next
  int thread, rows;  // rows: how many there are
  LF_ON_DEVICE RowCopy(const MatrixSource& s, int64_t first_row, int64_t end_row, int thread)
      : data(reinterpret_cast<const bf16*>(s.data)),
        from(data + (first_row + thread / 4) * s.row_stride + thread % 4 * 8),
        step(kThreads / 4 * s.row_stride),
        thread(thread),
        rows(int(smaller(kRows, end_row - first_row))) {}
  // From depth `k` on, of which `left` are there.
  LF_ON_DEVICE void start(int k, int left, Shared<bf16> tile) const {
#pragma unroll
    for (int turn = 0; turn < kTurns; turn++) {
      const int i = turn * (kThreads / 4) + thread / 4, j = thread % 4;
      if (kPieces % kThreads && i >= kRows) break;
      const bool valid = i < rows && j * 8 < left;
      copy_async16(tile + piece_of(i, j) * 8, valid ? from + k + turn * step : data, valid);
    }
  }
};

// A thread's part of the copies of a unit's codes and of its groups' entries: pieces of 16 bytes. Units behind the last one are
// zeros.
struct UnitCopy {
  const uint8_t *codes, *groups;
  int piece, group_bytes;
  bool valid;
  LF_ON_DEVICE UnitCopy(const MatrixSource& s, int64_t unit, int64_t units, int piece) : piece(piece), valid(unit < units) {
    group_bytes = s.dtype == LF_Q4_0 ? 2 * kUnit : 4 * kUnit;
    codes = s.data + (valid ? unit * (s.row_stride / kUnit) * kPackedUnitBytes : 0) + piece * 16;
    groups = s.groups + (valid ? unit * s.groups_of_row * group_bytes : 0) + piece * 16;
  }
  LF_ON_DEVICE void start_codes(int slice, Shared<uint8_t> to) const {
    copy_async16(to + piece * 16, codes + (valid ? int64_t(slice) * kPackedUnitBytes : 0), valid);
  }
  LF_ON_DEVICE bool has_groups() const { return piece * 16 < group_bytes; }
  LF_ON_DEVICE void start_groups(uint32_t group, Shared<uint8_t> to) const {
    copy_async16(to + piece * 16, groups + (valid ? int64_t(group) * group_bytes : 0), valid);
  }
};

// The operand of 32 columns: two tiles of 16 by two steps of the depth.
template <typename M>
struct UnitOperand {
  typename M::B tile[2][2];
};
template <typename M>
struct UnitScales {
  CodeScale of[2][M::kEights];
};
template <typename M>
LF_ON_DEVICE void read_scales(UnitScales<M>& scales, uint32_t dtype, Shared<uint8_t> entries) {
#pragma unroll
  for (int j = 0; j < 2; j++)
#pragma unroll
    for (int i = 0; i < M::kEights; i++) {
      const int column = j * kTile + M::eight_row(i);
      const Shared<uint32_t> words{reinterpret_cast<uint32_t*>(entries.data)};
      const Shared<uint16_t> halves{reinterpret_cast<uint16_t*>(entries.data)};
      scales.of[j][i] = code_scale(dtype == LF_Q4_0 ? uint32_t(uint16_t(halves[column])) | kFixedZero << 16 : uint32_t(words[column]));
    }
}
template <typename M>
LF_ON_DEVICE UnitOperand<M> decode_unit(Shared<uint8_t> unit, const UnitScales<M>& scales) {
  const Shared<uint32_t> codes{reinterpret_cast<uint32_t*>(unit.data)};
  UnitOperand<M> b;
  // Of two columns a tile, the four words lie side by side.
  Words4 all = {};
  if constexpr (M::kEights == 2) all = Shared<Words4>{reinterpret_cast<Words4*>(codes.data)}[lane_id()];
#pragma unroll
  for (int j = 0; j < 2; j++) {
    Words4 eights[M::kEights];
#pragma unroll
    for (int i = 0; i < M::kEights; i++) {
      const uint32_t word = M::kEights == 2 ? all.w[2 * j + i] : uint32_t(codes[word_of_unit(j * kTile + M::eight_row(i), M::eight_depth())]);
      eights[i] = decode_codes8(word, scales.of[j][i]);
    }
#pragma unroll
    for (int step = 0; step < 2; step++) b.tile[j][step] = M::b_of_eights(eights, step);
  }
  return b;
}
template <typename M>
LF_ON_DEVICE void read_eights(Shared<bf16> tile, int row, Words4 (&eights)[M::kEights]) {
  const Shared<Words4> pieces{reinterpret_cast<Words4*>(tile.data)};
#pragma unroll
  for (int i = 0; i < M::kEights; i++) eights[i] = pieces[piece_of(row + M::eight_row(i), M::eight_depth() / 8)];
}
// The same operand of columns that lie as rows of bf16: the second pair's.
template <typename M>
LF_ON_DEVICE UnitOperand<M> read_unit(Shared<bf16> tile, int column) {
  UnitOperand<M> b;
#pragma unroll
  for (int j = 0; j < 2; j++) {
    Words4 eights[M::kEights];
    read_eights<M>(tile, column + j * kTile, eights);
#pragma unroll
    for (int step = 0; step < 2; step++) b.tile[j][step] = M::b_of_eights(eights, step);
  }
  return b;
}
// Adds the products of 16 rows with a unit of columns.
template <typename M>
LF_ON_DEVICE void multiply_rows(typename M::Sums (&sums)[2], Shared<bf16> tile, int row, const UnitOperand<M>& b) {
  Words4 eights[M::kEights];
  read_eights<M>(tile, row, eights);
#pragma unroll
  for (int step = 0; step < 2; step++) {
    const typename M::A x = M::a_of_eights(eights, step);
#pragma unroll
    for (int j = 0; j < 2; j++) M::multiply(sums[j], x, b.tile[j][step]);
  }
}

// A tile of 64 x 128, of whose columns each warp has a unit.
LF_KERNEL_HELD(gemm_packed, GemmArgs, kPackedWarps* kWarp, 3) {
  using M = Mma<bf16>;
  constexpr int kThreads = kPackedWarps * kWarp, kTilesDown = kPackedRows / kTile;
  constexpr uint32_t kRowsBytes = kPackedRows * kPackedRowBytes, kStageBytes = kRowsBytes + kPackedWarps * kPackedUnitBytes;
  constexpr uint32_t kGroupsFrom = kPackedStages * kStageBytes;
  static_assert(kPackedColumns == kPackedWarps * kUnit && kThreads >= 32 * kPackedWarps, "a warp has a unit, and 32 threads copy it");
  const Span span = span_of(a, kPackedRows);
  const int64_t first_column = int64_t(block_x()) * kPackedColumns;
  if (span.first_row >= span.end_row) return;
  const int slices = int(a.depth / kPackedDepth), thread = thread_id();
  const RowCopy<kPackedRows, kThreads> rows(a.a, span.first_row, span.end_row, thread);
  const int copied = thread / 32;
  const UnitCopy unit(a.b, first_column / kUnit + copied, (a.n + kUnit - 1) / kUnit, thread % 32);
  auto rows_of = [&](int slice) { return shared_at<bf16>(uint32_t(slice) % kPackedStages * kStageBytes); };
  auto codes_of = [&](int slice, int unit) {
    return shared_at<uint8_t>(uint32_t(slice) % kPackedStages * kStageBytes + kRowsBytes + uint32_t(unit) * kPackedUnitBytes);
  };
  // Groups are at most as short as slices: those under way are no more than slices are.
  auto groups_of = [&](uint32_t group, int unit) {
    return shared_at<uint8_t>(kGroupsFrom + (group % kPackedStages * kPackedWarps + uint32_t(unit)) * kPackedGroupBytes);
  };
  GroupWalk copying(a.b, 0), walk(a.b, 0);
  auto start = [&](int slice) {
    if (slice < slices) {
      rows.start(slice * kPackedDepth, kPackedDepth, rows_of(slice));
      if (copied < kPackedWarps) {
        unit.start_codes(slice, codes_of(slice, copied));
        if (copying.begins && unit.has_groups()) unit.start_groups(copying.number, groups_of(copying.number, copied));
      }
      copying.advance();
    }
    copy_async_commit();
  };
  const int warp = thread / kWarp;
  const int column = warp * kUnit, tiles = (rows.rows + kTile - 1) / kTile;
  const bool works = first_column + column < a.n;
  typename M::Sums sums[kTilesDown][2] = {};
  // Tiles without rows cost nothing.
  auto multiply_tiles = [&](Shared<bf16> tile, const UnitOperand<M>& y) {
#pragma unroll
    for (int i = 0; i < kTilesDown; i++) {
      if (i < tiles) multiply_rows<M>(sums[i], tile, i * kTile, y);
    }
  };
  UnitScales<M> scales = {};
  for (int slice = 0; slice < kPackedStages - 1; slice++) start(slice);
  for (int slice = 0; slice < slices; slice++, walk.advance()) {
    copy_async_wait<kPackedStages - 2>();
    sync_block();
    start(slice + kPackedStages - 1);
    if (!works) continue;
    if (walk.begins) read_scales<M>(scales, a.b.dtype, groups_of(walk.number, warp));
    multiply_tiles(rows_of(slice), decode_unit<M>(codes_of(slice, warp), scales));
  }
  // The second pair, a low-rank update, is short: a slice at a time, in the memory of the first.
  const Shared<bf16> tile = shared_at<bf16>(0), second = shared_at<bf16>(kRowsBytes);
  static_assert(kRowsBytes + kPackedColumns * kPackedRowBytes <= kGroupsFrom, "both fit");
#pragma unroll 1
  for (int k = 0; k < a.depth2; k += kPackedDepth) {
    copy_async_wait<0>();
    sync_block();
    RowCopy<kPackedRows, kThreads>(a.a2, span.first_row, span.end_row, thread).start(k, int(a.depth2) - k, tile);
    RowCopy<kPackedColumns, kThreads>(a.b2, first_column, a.n, thread).start(k, int(a.depth2) - k, second);
    copy_async_commit();
    copy_async_wait<0>();
    sync_block();
    if (works) multiply_tiles(tile, read_unit<M>(second, column));
  }
  // That memory becomes the stage of the sums.
  copy_async_wait<0>();
  sync_block();
  if (!works) return;
  constexpr int kStage = kTile * kStagedStride<2>;
  static_assert(kPackedWarps * kStage * 4 <= int(kGroupsFrom), "the stage fits");
  const Shared<float> stage = shared_at<float>(uint32_t(warp * kStage * 4));
#pragma unroll
  for (int i = 0; i < kTilesDown; i++) {
    if (i < tiles) finish_rows<M>(a, sums[i], stage, span, span.first_row + i * kTile, first_column + column);
  }
}

// Up to 16 rows, as in decoding: each warp walks along its own part of the depth, through slices of its own, and waits for no
// other until the parts are summed, in their order.
LF_KERNEL_HELD(gemm_packed_thin, GemmArgs, kPackedThinWarps* kWarp, 2) {
  using M = Mma<bf16>;
  constexpr int kWarps = kPackedThinWarps;
  constexpr uint32_t kRowsBytes = kPackedThinRows * kPackedRowBytes, kStageBytes = kRowsBytes + kPackedUnitBytes;
  const Span span = span_of(a, kPackedThinRows);
  if (span.first_row >= span.end_row) return;
  const int64_t first_column = int64_t(block_x()) * kPackedThinColumns;
  const int warp = thread_id() / kWarp, lane = lane_id();
  const uint32_t mine = uint32_t(warp) * kPackedStages * kPackedThinStage, groups_from = mine + kPackedStages * kStageBytes;
  const int slices = int(a.depth / kPackedDepth), first = slices * warp / kWarps, last = slices * (warp + 1) / kWarps;
  auto rows_of = [&](int slice) { return shared_at<bf16>(mine + uint32_t(slice) % kPackedStages * kStageBytes); };
  auto codes_of = [&](int slice) { return shared_at<uint8_t>(mine + uint32_t(slice) % kPackedStages * kStageBytes + kRowsBytes); };
  auto groups_of = [&](uint32_t group) { return shared_at<uint8_t>(groups_from + group % kPackedStages * kPackedGroupBytes); };
  const RowCopy<kPackedThinRows, kWarp> rows(a.a, span.first_row, span.end_row, lane);
  const UnitCopy unit(a.b, block_x(), (a.n + kUnit - 1) / kUnit, lane);
  GroupWalk copying(a.b, first), walk(a.b, first);
  auto start = [&](int slice) {
    if (slice < last) {
      if (lane < 32) unit.start_codes(slice, codes_of(slice));
      if (copying.begins && unit.has_groups()) unit.start_groups(copying.number, groups_of(copying.number));
      rows.start(slice * kPackedDepth, kPackedDepth, rows_of(slice));
      copying.advance();
    }
    copy_async_commit();
  };
  typename M::Sums sums[2] = {};
  UnitScales<M> scales = {};
  for (int slice = first; slice < first + kPackedStages - 1; slice++) start(slice);
  for (int slice = first; slice < last; slice++, walk.advance()) {
    copy_async_wait<kPackedStages - 2>();
    sync_warp();
    start(slice + kPackedStages - 1);
    if (walk.begins) read_scales<M>(scales, a.b.dtype, groups_of(walk.number));
    multiply_rows<M>(sums, rows_of(slice), 0, decode_unit<M>(codes_of(slice), scales));
  }
  // The warps take slices of the second pair in turn.
  const Shared<bf16> tile = shared_at<bf16>(mine), second = shared_at<bf16>(mine + kRowsBytes);
  static_assert(kRowsBytes + kPackedThinColumns * kPackedRowBytes <= kPackedStages * kPackedThinStage, "both fit");
#pragma unroll 1
  for (int k = warp * kPackedDepth; k < a.depth2; k += kWarps * kPackedDepth) {
    copy_async_wait<0>();
    sync_warp();
    RowCopy<kPackedThinRows, kWarp>(a.a2, span.first_row, span.end_row, lane).start(k, int(a.depth2) - k, tile);
    RowCopy<kPackedThinColumns, kWarp>(a.b2, first_column, a.n, lane).start(k, int(a.depth2) - k, second);
    copy_async_commit();
    copy_async_wait<0>();
    sync_warp();
    multiply_rows<M>(sums, tile, 0, read_unit<M>(second, 0));
  }
  copy_async_wait<0>();
  sync_warp();
  static_assert(kPackedThinRows * kPackedThinColumns * 4 <= kPackedStages * kPackedThinStage, "a warp's sums fit into its slices");
  const Shared<float> part = shared_at<float>(mine);
#pragma unroll
  for (int j = 0; j < 2; j++)
#pragma unroll
    for (int e = 0; e < kTileSums; e++) part[M::row(e) * kPackedThinColumns + j * kTile + M::column(e)] = sums[j].v[e];
  sync_block();
  for (int i = thread_id(); i < kPackedThinRows * kPackedThinColumns; i += kWarps * kWarp) {
    const int64_t row = span.first_row + i / kPackedThinColumns, column = first_column + i % kPackedThinColumns;
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; w++) sum += float(shared_at<float>(uint32_t(w) * kPackedStages * kPackedThinStage)[i]);
    if (row < span.end_row && column < a.n) finish_sum(a, span.group, row, column, sum);
  }
}

#endif

// Up to kThinRows rows by plain arithmetic: operands of any precision, and devices without a matrix unit for bf16. 32 threads
// share a unit of codes, as its words lie; the parts of the depth are summed in their order.
LF_KERNEL(gemm_packed_plain, GemmArgs, kPackedPlainThreads) {
  const Shared<float> parts = shared_at<float>(0);
  const Span span = span_of(a, kThinRows);
  if (span.first_row >= span.end_row) return;
  const int rows = int(smaller(kThinRows, span.end_row - span.first_row));
  const int64_t first_column = int64_t(block_x()) * kPackedThinColumns, unit_row = first_column / kUnit;
  const int part = thread_id() / 32, lane = thread_id() % 32;
  auto rounded = [&](float v) { return a.round_operands ? widen(narrow<bf16>(v)) : v; };
  const int slices = int(a.depth / kUnit), first = slices * part / kPackedPlainParts, last = slices * (part + 1) / kPackedPlainParts;
  float sums[4][kThinRows] = {};
  uint32_t groups[4] = {};
  GroupWalk walk(a.b, first);
  for (int slice = first; slice < last; slice++, walk.advance()) {
    const int64_t k = int64_t(slice) * kUnit;
    if (walk.begins) {
#pragma unroll
      for (int c = 0; c < 4; c++)
        groups[c] = group_word(a.b.dtype, a.b.groups, (unit_row * a.b.groups_of_row + walk.number) * kUnit + row_of_word(lane * 4 + c));
    }
    const uint32_t* codes = reinterpret_cast<const uint32_t*>(a.b.data) + (unit_row * slices + slice) * kUnitWords;
    const Words4 words = load(reinterpret_cast<const Words4*>(codes) + lane);
    float x[kThinRows][8];
#pragma unroll
    for (int r = 0; r < kThinRows; r++) {
      if (r < rows) read_depth8<false>(a.a, source_row(a.a, span.first_row + r), k + depth_of_word(lane * 4), a.depth, x[r]);
    }
#pragma unroll
    for (int c = 0; c < 4; c++) {
      float v[8];
      decode_word8(words.w[c], groups[c], v);
#pragma unroll
      for (int r = 0; r < kThinRows; r++) {
        if (r < rows) {
#pragma unroll
          for (int i = 0; i < 8; i++) sums[c][r] += rounded(v[i]) * rounded(x[r][i]);
        }
      }
    }
  }
  // Four threads have parts of the same columns.
#pragma unroll
  for (int c = 0; c < 4; c++)
#pragma unroll
    for (int r = 0; r < kThinRows; r++) {
      float sum = sums[c][r];
      for (int d = 1; d < 4; d *= 2) sum += shuffle_xor(sum, d);
      if (lane % 4 == 0) parts[(part * kPackedThinColumns + row_of_word(lane * 4 + c)) * kThinRows + r] = sum;
    }
  // The second pair: a thread for each column and part.
  float second[kThinRows] = {};
  if (first_column + lane < a.n) {
    for (int64_t k = part * 8; k < a.depth2; k += kPackedPlainParts * 8) {
      float v[8];
      read_depth8<false>(a.b2, source_row(a.b2, first_column + lane), k, a.depth2, v);
#pragma unroll
      for (int r = 0; r < kThinRows; r++) {
        if (r < rows) {
          float x[8];
          read_depth8<false>(a.a2, source_row(a.a2, span.first_row + r), k, a.depth2, x);
#pragma unroll
          for (int i = 0; i < 8; i++) second[r] += rounded(v[i]) * rounded(x[i]);
        }
      }
    }
  }
  sync_block();
#pragma unroll
  for (int r = 0; r < kThinRows; r++) {
    const int at = (part * kPackedThinColumns + lane) * kThinRows + r;
    parts[at] = float(parts[at]) + second[r];
  }
  sync_block();
  for (int i = thread_id(); i < kPackedThinColumns * kThinRows; i += block_threads()) {
    const int r = i / kPackedThinColumns, c = i % kPackedThinColumns;
    float sum = 0.0f;
    for (int p = 0; p < kPackedPlainParts; p++) sum += float(parts[(p * kPackedThinColumns + c) * kThinRows + r]);
    if (r < rows && first_column + c < a.n) finish_sum(a, span.group, span.first_row + r, first_column + c, sum);
  }
}

}  // namespace lf_gpu
