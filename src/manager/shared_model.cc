#include "manager/shared_model.h"

#include <sys/stat.h>

#include <algorithm>
#include <system_error>
#include <vector>

namespace remuda {

ComputePool& compute_pool(const Settings& settings) {
  if (settings.compute_threads > 0) ComputePool::configure_global(static_cast<int>(settings.compute_threads));
  return ComputePool::global();
}

void check_room(const std::string& model, const MemoryCost& cost, int64_t instances, const std::string& device) {
  if (instances <= 1 || cost.workspace == 0) return;
  const MemoryBudgetStats stats = MemoryBudget::of(device).stats();
  const uint64_t weights = stats.weights + stats.mapped_weights;
  const uint64_t room = stats.limit > weights ? stats.limit - weights : 0;
  const uint64_t fit = std::max<uint64_t>(room / cost.workspace, 1);
  if (static_cast<uint64_t>(instances) <= fit) return;
  throw OutOfMemory(fmt::format(
      "{}: expected at most {} instances on {}, as many as have room to compute at once: each takes {} bytes of "
      "workspace, and beside the weights of {} models, {} bytes, the memory limit of {} bytes leaves {}; "
      "raise it for more",
      model, fit, device, cost.workspace, stats.models, weights, stats.limit, room));
}

MemoryBudget::Limit memory_limit(const Settings& settings) {
  if (!settings.memory_limit) return {};
  return MemoryBudget::cpu().limit_to(resolve(*settings.memory_limit));
}

std::string file_identity(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  std::error_code error, no_file;
  // However the directory was named, and from where, its files have the same names.
  const std::filesystem::path root = std::filesystem::canonical(directory, no_file);
  std::filesystem::recursive_directory_iterator entry(no_file ? directory : root, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator(); entry.increment(error)) {
    if (entry->is_regular_file(no_file)) files.push_back(entry->path());
  }
  if (error) fail(ErrorCode::kIo, "{}: can't be listed: {}", directory.string(), error.message());
  std::ranges::sort(files);
  std::string identity;
  for (const auto& file : files) {
    struct stat status{};
    if (stat(file.c_str(), &status) != 0) continue;
    // A file that takes another's name may have its size and time too.
    identity += fmt::format("{}:{}:{}:{}.{:09};", file.string(), status.st_ino, status.st_size, status.st_mtim.tv_sec,
                            status.st_mtim.tv_nsec);
  }
  return identity;
}

ModelMetadata describe_instance(std::string model_name, std::string model_type, std::string device, Precision precision,
                                uint64_t shared_bytes, std::chrono::steady_clock::time_point start) {
  ModelMetadata metadata;
  metadata.model_name = std::move(model_name);
  metadata.model_type = std::move(model_type);
  metadata.device = std::move(device);
  metadata.precision = precision;
  metadata.shared_bytes = shared_bytes;
  metadata.load_time = std::chrono::steady_clock::now() - start;
  return metadata;
}

}  // namespace remuda
