// Ctrl-C, SIGTERM and a terminal that is gone as a question that long work asks, so that it can keep what is done.
#pragma once

namespace remuda::cli {

// From now on the first SIGINT, SIGTERM or SIGHUP only makes interrupted() true; a second one ends the process as
// usual. A signal that the parent process had ignored (nohup, a background job) stays ignored.
void catch_interrupts();

bool interrupted();

// A descriptor that becomes readable once interrupted() is true, for poll(); -1 before catch_interrupts().
int interrupt_fd();

}  // namespace remuda::cli
