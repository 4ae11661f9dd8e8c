// Which process this is, at the price of a load: a child of fork() has none of its parent's threads, and its copies of
// their mutexes may be locked for ever.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace remuda {

// Another number in the child of every fork().
uint64_t fork_generation();

// One T for each process, made when it is needed and never destroyed: a child leaves its parent's, which may have been
// copied in the middle of something, alone. Thread-safe.
template <typename T>
class PerProcess {
 public:
  constexpr PerProcess() = default;

  T& get() {
    Made* made = made_.load();
    if (is_own(made)) return made->value;
    auto own = std::make_unique<Made>();
    return made_.compare_exchange_strong(made, own.get()) ? own.release()->value : made->value;
  }
  // Null where none was needed yet.
  T* find() {
    Made* made = made_.load();
    return is_own(made) ? &made->value : nullptr;
  }

 private:
  struct Made {
    const uint64_t generation = fork_generation();
    T value;
  };

  static bool is_own(const Made* made) { return made != nullptr && made->generation == fork_generation(); }

  std::atomic<Made*> made_{nullptr};
};

}  // namespace remuda
