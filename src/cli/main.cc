#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include "cli/run.h"

namespace {

// Without this, a file that is opened later would get the number of stdout or stderr, and whatever is written there.
// The descriptors are open the wrong way round, so that reading from stdin and writing to stdout are errors, as they
// are where these are closed.
void open_standard_descriptors() {
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    const int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened != fd) _exit(1);  // There is no /dev/null, and nobody to tell.
  }
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  // By default the C library gives each thread a heap of its own, which keeps what once was its peak. Our threads share
  // their work and allocate little beside it.
  mallopt(M_ARENA_MAX, 1);
  return remuda::cli::run(argc, argv);
}
