#include "cli/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace remuda::cli {
namespace {

volatile std::sig_atomic_t caught = 0;
int pipe_ends[2] = {-1, -1};

void on_signal(int) {
  const int error = errno;
  caught = 1;
  // The pipe can only be full when it already says what it is to say.
  [[maybe_unused]] const ssize_t written = write(pipe_ends[1], "!", 1);
  errno = error;
}

void install(int signal_number) {
  struct sigaction action{};
  sigaction(signal_number, nullptr, &action);
  if (action.sa_handler == SIG_IGN) return;
  action = {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(signal_number, &action, nullptr);
}

}  // namespace

void catch_interrupts() {
  if (pipe_ends[0] >= 0 || pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
  install(SIGINT);
  install(SIGTERM);
  install(SIGHUP);
}

bool interrupted() { return caught != 0; }

int interrupt_fd() { return pipe_ends[0]; }

}  // namespace remuda::cli
