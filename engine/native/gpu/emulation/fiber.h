// Stacks that hand the processor to each other.
#pragma once
#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace simt {

class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Readies the fiber to run `entry` from the start; what it ran before is abandoned. False without memory.
  bool arm(void (*entry)());
  // Leaves `from` (null: the thread's own stack) and goes on in `to` (null: the same).
  static void swap(Fiber* from, Fiber* to);

 private:
  static constexpr size_t kStackBytes = 256 << 10;
  uint8_t* stack_ = nullptr;
#if defined(__x86_64__)
  void* pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
};

}  // namespace simt
