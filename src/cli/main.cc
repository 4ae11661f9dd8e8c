#include <malloc.h>

#include "cli/run.h"

int main(int argc, char** argv) {
  // By default the C library gives each thread a heap of its own, which keeps what once was its peak. Our threads share
  // their work and allocate little beside it.
  mallopt(M_ARENA_MAX, 1);
  return remuda::cli::run(argc, argv);
}
