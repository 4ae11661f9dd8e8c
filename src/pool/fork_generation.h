// Which process this is, at the price of a load: a child of fork() has none of its parent's threads, and its copies of
// their mutexes may be locked for ever.
#pragma once

#include <cstdint>

namespace remuda {

// Another number in the child of every fork().
uint64_t fork_generation();

}  // namespace remuda
