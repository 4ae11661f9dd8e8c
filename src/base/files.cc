#include "base/files.h"

#include <system_error>

#include "base/fail.h"

namespace remuda {

bool file_exists(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_type type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::none) {
    fail(ErrorCode::kIo, "{}: can't be looked at: {}", path.string(), error.message());
  }
  return type != std::filesystem::file_type::not_found;
}

}  // namespace remuda
