// Figures as people read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace remuda::cli {

std::string with_commas(int64_t value);                         // "1,234,567"
std::string human_bytes(uint64_t bytes);                        // "86.3 MiB"
std::string human_duration(std::chrono::nanoseconds duration);  // "12 us", "3.4 ms", "1.2 s"
std::string human_seconds(double seconds);                      // "0:42", "1:02:03"
uint64_t peak_rss_bytes();                                      // The most memory that this process has had resident.
bool is_terminal(int fd);

// Text on stderr, as far as that takes it: messages that nobody can read hold no work up.
void say(std::string_view text);

// A line on stderr, "remuda: warning: ..." unless --log-level is above it.
void warn(std::string_view message);

}  // namespace remuda::cli
