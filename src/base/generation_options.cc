#include "remuda/generation_options.h"

#include <algorithm>

namespace remuda {

GenerationOptions GenerationOptions::over(const GenerationOptions& defaults) const {
  GenerationOptions merged = *this;
  for_each(
      [this](const char* name, auto& mine, const auto& fallback) {
        if (!mine && std::ranges::find(none, name) == none.end()) mine = fallback;
      },
      merged, defaults);
  for (const std::string& name : defaults.none) {
    if (std::ranges::find(none, name) == none.end()) merged.none.push_back(name);
  }
  return merged;
}

}  // namespace remuda
