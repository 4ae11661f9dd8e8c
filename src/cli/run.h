#pragma once

namespace remuda::cli {

// The whole program: parses, does, reports. Returns the exit code: 0, 1 (the work failed), 2 (bad usage), 130
// (interrupted; what was done is kept).
int run(int argc, const char* const* argv);

}  // namespace remuda::cli
