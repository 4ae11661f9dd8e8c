// What this process's control groups (v1 or v2) let it use. The limits of every ancestor hold, so the
// tightest counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace remuda {

// CPUs' worth of time that the group may use, for example 1.5; nullopt without a quota. `root` stands for
// "/": the files read are root/proc/self/cgroup and those below root/sys/fs/cgroup. A file that is missing or
// does not parse sets no limit.
std::optional<double> cgroup_cpu_quota(const std::filesystem::path& root = "/");

// Bytes that the group may still take: its limit less its usage, page cache not counted as used; nullopt
// without a limit.
std::optional<uint64_t> cgroup_memory_available(const std::filesystem::path& root = "/");

}  // namespace remuda
