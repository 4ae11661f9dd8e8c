#pragma once

#include <string_view>

namespace remuda {

// The version of the library that was linked, "major.minor.patch".
std::string_view version();

}  // namespace remuda
