#include <fmt/core.h>

#include "remuda/version.h"

int main() {
  fmt::print("remuda {}\n", remuda::version());
  return 0;
}
