#include "device/cgroup.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace remuda {
namespace {

namespace fs = std::filesystem;

// v1 says "no limit" with the largest multiple of the page size that an int64 holds.
constexpr uint64_t kUnlimited = uint64_t{1} << 62;

std::optional<int64_t> parse_int(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::optional<std::string> read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<uint64_t> read_bytes(const fs::path& path) {
  const int64_t value = parse_int(read_line(path).value_or("")).value_or(-1);
  if (value < 0 || static_cast<uint64_t>(value) >= kUnlimited) return std::nullopt;
  return static_cast<uint64_t>(value);
}

// Whether "cpu,cpuacct" has "cpu".
bool has_name(std::string_view names, std::string_view wanted) {
  while (!names.empty()) {
    const size_t comma = std::min(names.find(','), names.size());
    if (names.substr(0, comma) == wanted) return true;
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return false;
}

// The directories of this process's group and its ancestors in one hierarchy: v2 (controller "") or a v1
// controller. A container often sees the path of its host, which does not exist below its own mount; then
// only the mount's root, which is the container's group, is left of it.
std::vector<fs::path> group_directories(const fs::path& root, std::string_view controller) {
  std::ifstream file(root / "proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    const bool matches = controller.empty() ? names.empty() : has_name(names, controller);
    if (!matches) continue;
    fs::path mount = root / "sys/fs/cgroup";
    if (!controller.empty()) {
      std::error_code ignored;
      mount = fs::is_directory(mount / names, ignored) ? mount / names : mount / controller;
    }
    std::vector<fs::path> directories = {mount};
    for (const fs::path& part : fs::path(line.substr(second + 1)).relative_path()) {
      directories.push_back(directories.back() / part);
    }
    return directories;
  }
  return {};
}

template <typename T>
void keep_smaller(std::optional<T>& smallest, std::optional<T> value) {
  if (value && (!smallest || *value < *smallest)) smallest = value;
}

std::optional<double> ratio(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return std::nullopt;
  return static_cast<double>(quota) / static_cast<double>(period);
}

// "200000 100000" or "max 100000": microseconds of CPU time in each period.
std::optional<double> quota_v2(const fs::path& directory) {
  const std::string line = read_line(directory / "cpu.max").value_or("");
  const size_t space = line.find(' ');
  if (space == std::string::npos) return std::nullopt;
  return ratio(parse_int(line).value_or(0), parse_int(std::string_view(line).substr(space + 1)).value_or(0));
}

std::optional<double> quota_v1(const fs::path& directory) {
  const auto read = [&](const char* name) { return parse_int(read_line(directory / name).value_or("")).value_or(0); };
  return ratio(read("cpu.cfs_quota_us"), read("cpu.cfs_period_us"));
}

// Page cache as memory.stat counts it. Not its "file" or "cache" line, which includes tmpfs: that cannot be
// dropped.
uint64_t page_cache(const fs::path& directory, std::string_view prefix) {
  std::ifstream file(directory / "memory.stat");
  uint64_t sum = 0;
  std::string name;
  uint64_t bytes = 0;
  while (file >> name >> bytes) {
    if (name == std::string(prefix) + "active_file" || name == std::string(prefix) + "inactive_file") sum += bytes;
  }
  return sum;
}

std::optional<uint64_t> available_in(const fs::path& directory, const char* limit_name, const char* usage_name,
                                     std::string_view stat_prefix) {
  const auto limit = read_bytes(directory / limit_name);
  if (!limit) return std::nullopt;
  const uint64_t usage = read_bytes(directory / usage_name).value_or(0);
  const uint64_t used = usage - std::min(usage, page_cache(directory, stat_prefix));
  return *limit - std::min(*limit, used);
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const fs::path& root) {
  std::optional<double> smallest;
  for (const fs::path& directory : group_directories(root, "")) keep_smaller(smallest, quota_v2(directory));
  for (const fs::path& directory : group_directories(root, "cpu")) keep_smaller(smallest, quota_v1(directory));
  return smallest;
}

std::optional<uint64_t> cgroup_memory_available(const fs::path& root) {
  std::optional<uint64_t> smallest;
  for (const fs::path& directory : group_directories(root, "")) {
    keep_smaller(smallest, available_in(directory, "memory.max", "memory.current", ""));
  }
  for (const fs::path& directory : group_directories(root, "memory")) {
    keep_smaller(smallest, available_in(directory, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"));
  }
  return smallest;
}

}  // namespace remuda
