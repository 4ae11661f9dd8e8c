// Native log events for Python's logging.getLogger("remuda").
//
// An event may arise on a thread that holds a pool's lock, or that Python has never heard of; such a thread must not
// wait for the GIL. So events are put into a queue, and whoever holds the GIL next hands them over: the thread that
// caused them, on its way back into Python, or else the main thread, by a pending call.
#pragma once

namespace remuda::python {

// Called once, when the module is loaded.
void install_log_bridge();

// Events below one of Python's levels are not made at all.
void set_log_level(int level);

// Gives queued events to Python's logger, which sorts out those below its level. With the GIL held; does not throw.
void hand_over_log_records() noexcept;

}  // namespace remuda::python
