// What becomes of work that a GPU could not do.
#pragma once

#include <cstdint>
#include <exception>
#include <string>

namespace remuda {

enum class Recovery {
  kFail,  // The error is the callers'.
  kWait,  // The same instance tries again, until there is room or the callers' deadlines pass.
  kMove,  // Another instance does it, in another place.
};

// Throws it to a caller with an instance of its own, which can't be moved.
[[noreturn]] void rethrow_to_holder(const std::exception_ptr& error);

struct RecoveryReport {
  std::string pool;
  Recovery recovery;
  int64_t calls;  // For which it begins.
  std::exception_ptr error;
};

// One line, where there are calls.
void log_recovery(const RecoveryReport& report);

}  // namespace remuda
