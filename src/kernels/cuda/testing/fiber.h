// Fibers: functions that take turns on one thread, each on a stack of its own.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define REMUDA_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REMUDA_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(REMUDA_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace remuda::kernels::cuda {

#if defined(__x86_64__)
// Leaves a stack at *from and goes on where the stack `to` was left. Fibers change places millions of times, and
// swapcontext() makes a system call for each, for a signal mask that is always the same.
[[gnu::naked, gnu::noinline]] inline void switch_stack(void** /*from*/, void* /*to*/) {
  asm(R"(
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
}

// One of two sides that take turns: a fiber, or who resumed it.
class Side {
 public:
  // Begins with this function, which must not return.
  void begin(std::byte* stack, size_t bytes, void (*function)()) {
    constexpr uintptr_t kAlignment = 16;
    constexpr int kKept = 6;  // Registers.
    auto** top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack + bytes) / kAlignment * kAlignment);
    *--top = nullptr;  // Where it would return to.
    *--top = reinterpret_cast<void*>(function);
    for (int i = 0; i < kKept; ++i) *--top = nullptr;
    top_ = top;
  }
  void switch_to(Side& other) { switch_stack(&top_, other.top_); }

 private:
  void* top_ = nullptr;
};
#else
class Side {
 public:
  void begin(std::byte* stack, size_t bytes, void (*function)()) {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = bytes;
    context_.uc_link = nullptr;
    makecontext(&context_, function, 0);
  }
  void switch_to(Side& other) { swapcontext(&context_, &other.context_); }

 private:
  ucontext_t context_;
};
#endif

// A fiber's stack. A thread keeps those of one block for the next: fresh ones would be fresh pages every time, which
// take more time than most kernels.
class FiberStack {
 public:
  static constexpr size_t kBytes = 64 * 1024;

  FiberStack() {
    if (idle_.empty()) {
      memory_.reset(new std::byte[kBytes]);
    } else {
      memory_ = std::move(idle_.back());
      idle_.pop_back();
#if defined(REMUDA_ADDRESS_SANITIZER)
      __asan_unpoison_memory_region(memory_.get(), kBytes);  // Of frames that were never left.
#endif
    }
  }
  ~FiberStack() { idle_.push_back(std::move(memory_)); }
  FiberStack(const FiberStack&) = delete;
  FiberStack& operator=(const FiberStack&) = delete;

  std::byte* get() const { return memory_.get(); }

 private:
  using Memory = std::unique_ptr<std::byte[]>;
  static inline thread_local std::vector<Memory> idle_;

  Memory memory_;
};

// One of a block's fibers, run until it waits or ends.
class Fiber {
 public:
  explicit Fiber(std::function<void()> work) : work_(std::move(work)) {
    own_.begin(stack_.get(), FiberStack::kBytes, &Fiber::start);
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  bool done() const { return done_; }

  void resume() {
    resumed_ = this;
#if defined(REMUDA_ADDRESS_SANITIZER)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, stack_.get(), FiberStack::kBytes);
    caller_.switch_to(own_);
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#else
    caller_.switch_to(own_);
#endif
  }

  // Back to whoever resumed this fiber, which must be the one that runs.
  void yield() { leave(false); }

 private:
  static void start() {
    Fiber* const fiber = resumed_;
#if defined(REMUDA_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(nullptr, &fiber->caller_stack_, &fiber->caller_stack_bytes_);
#endif
    fiber->work_();
    fiber->done_ = true;
    fiber->leave(true);
  }

  void leave([[maybe_unused]] bool for_good) {
#if defined(REMUDA_ADDRESS_SANITIZER)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack, caller_stack_, caller_stack_bytes_);
    own_.switch_to(caller_);
    __sanitizer_finish_switch_fiber(fake_stack, &caller_stack_, &caller_stack_bytes_);
#else
    own_.switch_to(caller_);
#endif
  }

  static inline thread_local Fiber* resumed_ = nullptr;

  std::function<void()> work_;
  FiberStack stack_;
  Side own_;
  Side caller_;
  [[maybe_unused]] const void* caller_stack_ = nullptr;
  [[maybe_unused]] size_t caller_stack_bytes_ = 0;
  bool done_ = false;
};

}  // namespace remuda::kernels::cuda
