// A fast checksum against accidents: damaged disks, files cut short, flipped bits. No protection against an attacker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace remuda {

// Any change inside one aligned 8-byte word changes the sum for certain, others but for one chance in 2^64. About as fast
// as memory is read.
uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace remuda
