#include "remuda/generation_options.h"

namespace remuda {

GenerationOptions GenerationOptions::over(const GenerationOptions& defaults) const {
  GenerationOptions merged = *this;
  for_each(
      [](const char*, auto& mine, const auto& fallback) {
        if (!mine) mine = fallback;
      },
      merged, defaults);
  return merged;
}

}  // namespace remuda
