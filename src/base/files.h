// What stands under a path.
#pragma once

#include <filesystem>

namespace remuda {

// Whether a file or a directory, links followed, has this name. Throws Error(kIo) where the system doesn't say: for a
// link to itself, below a directory that may not be read.
bool file_exists(const std::filesystem::path& path);

}  // namespace remuda
