// A fast checksum against accidents: damaged disks, files cut short, flipped bits. No protection against an attacker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace remuda {

// A change inside one of the 8-byte words that the bytes are cut into changes the sum for certain; any other but for a
// chance of about 1 in 2^64. About as fast as memory is read.
uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace remuda
