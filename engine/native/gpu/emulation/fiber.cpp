#include "fiber.h"

#include <sys/mman.h>

namespace simt {

Fiber::~Fiber() {
  if (stack_) munmap(stack_, kStackBytes);
}

#if defined(__x86_64__)

// Saves what the System V ABI lets a callee keep, exchanges the stack pointers, and restores.
extern "C" void lf_simt_swap(void** from, void* to);
asm(R"(
.text
.type lf_simt_swap,@function
lf_simt_swap:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

static thread_local void* t_own_stack;

bool Fiber::arm(void (*entry)()) {
  if (!stack_) {
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    stack_ = static_cast<uint8_t*>(memory);
  }
  void** top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack_ + kStackBytes) & ~uintptr_t{15});
  *--top = nullptr;  // where `entry`, which never returns, would return to
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  pointer_ = top;
  return true;
}

void Fiber::swap(Fiber* from, Fiber* to) { lf_simt_swap(from ? &from->pointer_ : &t_own_stack, to ? to->pointer_ : t_own_stack); }

#else

static thread_local ucontext_t t_own_context;

bool Fiber::arm(void (*entry)()) {
  if (!stack_) {
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    stack_ = static_cast<uint8_t*>(memory);
  }
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
  return true;
}

void Fiber::swap(Fiber* from, Fiber* to) { swapcontext(from ? &from->context_ : &t_own_context, to ? &to->context_ : &t_own_context); }

#endif

}  // namespace simt
