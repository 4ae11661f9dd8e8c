// Throwing an Error with a formatted message, in one expression.
#pragma once

#include <fmt/core.h>

#include <string>
#include <utility>

#include "remuda/error.h"

namespace remuda {

// Throws Error(code, fmt::format(format, args...)).
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Throws kInternal when an invariant of remuda's own does not hold; never for bad input.
inline void check_invariant(bool holds, const char* what) {
  if (!holds) fail(ErrorCode::kInternal, "internal error: {} does not hold; please report this", what);
}

}  // namespace remuda
