// "Did you mean": the names that a mistyped one is close to.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace remuda {

// At most three of `known` that differ from `word` in few letters, the closest first; letters that differ in case alone
// count for nothing. Time grows with the product of the lengths; words beyond 200 bytes are close to nothing.
std::vector<std::string> close_names(std::string_view word, std::span<const std::string> known);

}  // namespace remuda
