// Commands that are wrong in one place or several: a backend refuses them, or runs those that happen to be right. What it
// must not do is crash, hang or write outside of the operands' buffers; run it with a sanitizer to see the last.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "checks.h"
#include "run_case.h"

namespace conformance {
namespace {

uint32_t strange_number(Random& random) {
  switch (random.integer(0, 5)) {
    case 0: return static_cast<uint32_t>(random.integer(0, 3));
    case 1: return static_cast<uint32_t>(random.integer(0, 300));
    case 2: return 0xffffffffu - static_cast<uint32_t>(random.integer(0, 2));
    case 3: return 1u << random.integer(0, 31);
    case 4: return float_bits(static_cast<float>(random.normal()));
    default: return static_cast<uint32_t>(random.bits());
  }
}

// Extents stay small or become so large that no buffer holds them: in between a backend may rightly work for hours.
uint32_t strange_extent(Random& random, uint32_t now) {
  switch (random.integer(0, 4)) {
    case 0: return 0;
    case 1: return now + 1;
    case 2: return now ? now - 1 : 1;
    case 3: return static_cast<uint32_t>(random.integer(0, 300));
    default: return 0x80000000u + static_cast<uint32_t>(random.integer(0, 2));
  }
}

void mutate_tensor(Random& random, lf_tensor& t) {
  switch (random.integer(0, 9)) {
    case 0: t.buffer = static_cast<uint32_t>(random.bits()); break;
    case 1: t.buffer = 0; break;
    case 2: t.dtype = static_cast<uint8_t>(random.chance(0.7) ? random.integer(0, 24) : random.integer(0, 255)); break;
    case 3: t.layout = static_cast<uint8_t>(random.integer(0, 3)); break;
    case 4: t.rank = static_cast<uint8_t>(random.chance(0.8) ? random.integer(0, 5) : random.integer(0, 255)); break;
    case 5: t.offset = random.chance(0.5) ? static_cast<uint64_t>(random.integer(0, 4096)) : random.bits(); break;
    case 6: t.shape[random.integer(0, 3)] = strange_extent(random, t.shape[0]); break;
    case 7: {
      const int64_t d = random.integer(0, 3);
      t.stride[d] = t.shape[d] < 4096 ? strange_number(random) : t.stride[d];
      break;
    }
    case 8: t.group = strange_number(random); break;
    default:
      t.scale_operand = static_cast<uint16_t>(random.bits());
      t.zero_operand = static_cast<uint16_t>(random.integer(0, 20));
  }
}

// Indices, boundaries and the like with anything in them.
void mutate_contents(Random& random, Case& test) {
  for (Operand& operand : test.operands) {
    const bool index = operand.present && operand.role == Role::kRead && !is_float(operand.tensor.dtype) &&
                       !is_block_format(operand.tensor.dtype);
    if (!index || random.chance(0.5)) continue;
    for (uint64_t position : operand.tensor.positions()) {
      if (random.chance(0.7)) continue;
      const uint32_t number = strange_number(random);
      memcpy(operand.tensor.memory.data() + position, &number, std::min<size_t>(4, element_bytes(operand.tensor.dtype)));
    }
  }
}

// The stream itself: cut short, or with a header that lies.
void mutate_stream(Random& random, std::vector<uint8_t>& stream) {
  if (random.chance(0.5)) {
    stream.resize(static_cast<size_t>(random.integer(0, static_cast<int64_t>(stream.size()))));
    return;
  }
  const uint32_t number = strange_number(random);
  memcpy(stream.data() + 4 * random.integer(0, 3), &number, 4);
}

}  // namespace

bool check_fuzz(Session& session, uint64_t seed, int cases) {
  int refused = 0, ran = 0, total = 0;
  for (const Suite& suite : suites()) {
    for (int i = 0; i < cases * 2; i++) {
      Random random(seed * 7368787u + suite.op * 15485863u + static_cast<uint64_t>(i));
      Case test = suite.make(random);
      if (random.chance(0.4)) mutate_contents(random, test);
      std::string failure;
      Placed placed(session, test, failure);
      std::vector<lf_tensor> tensors = placed.tensors();
      std::vector<uint32_t> params = test.params.words;
      for (int64_t mutations = random.integer(0, 3); mutations > 0 && !tensors.empty(); mutations--) {
        mutate_tensor(random, tensors[static_cast<size_t>(random.integer(0, static_cast<int64_t>(tensors.size()) - 1))]);
      }
      if (random.chance(0.2) && tensors.size() > 1) std::swap(tensors[0], tensors[static_cast<size_t>(random.integer(1, static_cast<int64_t>(tensors.size()) - 1))]);
      if (random.chance(0.2) && !params.empty()) params[static_cast<size_t>(random.integer(0, static_cast<int64_t>(params.size()) - 1))] = strange_number(random);
      if (random.chance(0.1)) params.resize(static_cast<size_t>(random.integer(0, 40)));
      if (random.chance(0.1)) tensors.resize(static_cast<size_t>(random.integer(0, 30)));
      std::vector<uint8_t> stream;
      encode(stream, random.chance(0.03) ? strange_number(random) : test.op, params, tensors);
      if (random.chance(0.1)) mutate_stream(random, stream);
      else session.supports(stream);
      total++;
      (session.run(stream).ok() ? ran : refused)++;
    }
  }
  printf("%-24s %4d commands  %d refused, %d ran\n", "fuzz", total, refused, ran);
  // Mutations that were all refused, or all accepted, would show nothing.
  return refused > total / 5 && ran > 0;
}

}  // namespace conformance
