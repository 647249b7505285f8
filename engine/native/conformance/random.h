// The generator of test data: splitmix64 (Steele, Lea, Flood 2014). The same seed gives the same cases everywhere.
#pragma once
#include <cmath>
#include <cstdint>
#include <initializer_list>

namespace conformance {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t bits() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // In [0, 1).
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal() { return std::sqrt(-2.0 * std::log(1.0 - uniform())) * std::cos(6.283185307179586 * uniform()); }
  // In [low, high], both ends included.
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(bits() % static_cast<uint64_t>(high - low + 1));
  }
  bool chance(double probability) { return uniform() < probability; }
  template <typename T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[bits() % values.size()];
  }
  // An extent that finds edges: 1, primes, just around the widths of vectors and blocks, now and then larger.
  int64_t extent(int64_t largest) {
    const int64_t edge =
        pick<int64_t>({1, 2, 3, 5, 7, 8, 13, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 67, 97, 127, 128, 131, 257});
    const int64_t n = chance(0.5) ? edge : integer(1, largest);
    return n <= largest ? n : integer(1, largest);
  }

 private:
  uint64_t state_;
};

}  // namespace conformance
