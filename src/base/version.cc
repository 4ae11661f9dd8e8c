#include "remuda/version.h"

namespace remuda {

std::string_view version() { return REMUDA_VERSION; }

}  // namespace remuda
