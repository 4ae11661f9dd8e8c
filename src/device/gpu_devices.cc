#include "device/gpu_devices.h"

#include <fmt/format.h>

#include <charconv>

#include "base/fork_generation.h"

namespace remuda {
namespace {

constexpr std::string_view kPrefix = "cuda:";
constexpr const char* kForked =
    "this process is a fork of one that had looked for GPUs, and NVIDIA's driver does not work in it; look for GPUs in "
    "the child alone";

}  // namespace

std::optional<int> gpu_number(std::string_view id) {
  if (!id.starts_with(kPrefix)) return std::nullopt;
  id.remove_prefix(kPrefix.size());
  int number = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
  if (error != std::errc() || end != id.data() + id.size() || number < 0) return std::nullopt;
  return number;
}

std::string gpu_id(int number) { return fmt::format("{}{}", kPrefix, number); }

bool GpuDevices::is_forked() const { return has_started_.load() && started_in_.load() != fork_generation(); }

void GpuDevices::start() {
  if (is_forked()) return;
  if (!has_started_.load()) {
    started_in_.store(fork_generation());
    has_started_.store(true);
  }
  const std::lock_guard lock(mutex_);
  if (!found_.empty()) return;
  problem_ = backend_.problem;
  if (backend_.table == nullptr) return;
  int32_t count = 0;
  cuda::Message message = {};
  if (backend_.table->start(&count, &message) != cuda::Status::kOk) {
    problem_ = message.text;
    return;
  }
  std::vector<cuda::DeviceInfo> found;
  for (int32_t number = 0; number < count; ++number) {
    cuda::DeviceInfo info = {};
    if (backend_.table->describe(number, &info, &message) != cuda::Status::kOk) {
      problem_ = message.text;
      return;
    }
    found.push_back(info);
  }
  const bool can_multiply = found.empty() || backend_.table->find_products(&message) == cuda::Status::kOk;
  products_problem_ = can_multiply ? "" : message.text;
  found_ = std::move(found);
}

Device GpuDevices::describe(int number) {
  cuda::DeviceInfo info = {};
  std::string products_problem;
  {
    const std::lock_guard lock(mutex_);
    info = found_.at(static_cast<size_t>(number));
    products_problem = products_problem_;
  }
  Device device{.id = gpu_id(number), .name = info.name, .kind = DeviceKind::kGpu};
  device.compute_capability = fmt::format("{}.{}", info.major, info.minor);
  device.memory_total = info.memory_total;
  device.computes = backend_.table->computes_models;
  device.problem = info.problem;
  uint64_t total = 0;
  cuda::Message message = {};
  switch (backend_.table->memory(number, &device.memory_available, &total, &message)) {
    case cuda::Status::kOk:
      break;
    case cuda::Status::kOutOfMemory:  // Of the context that it takes to ask: the GPU works, and is full.
      device.memory_available = 0;
      break;
    case cuda::Status::kDeviceLost:
      device.is_lost = true;
      [[fallthrough]];
    default:
      device.memory_available = 0;
      device.problem = message.text;
  }
  if (device.problem.empty() && device.computes == 0) device.problem = "remuda's library has no kernels for models";
  if (device.problem.empty()) device.problem = products_problem;
  return device;
}

std::vector<Device> GpuDevices::devices() {
  start();
  if (is_forked()) return {};
  size_t count = 0;
  {
    const std::lock_guard lock(mutex_);
    count = found_.size();
  }
  std::vector<Device> devices;
  for (size_t number = 0; number < count; ++number) devices.push_back(describe(static_cast<int>(number)));
  return devices;
}

std::optional<Device> GpuDevices::device(const std::string& id) {
  const std::optional<int> number = gpu_number(id);
  if (!number) return std::nullopt;
  start();
  if (is_forked()) return std::nullopt;
  {
    const std::lock_guard lock(mutex_);
    if (static_cast<size_t>(*number) >= found_.size()) return std::nullopt;
  }
  return describe(*number);
}

std::string GpuDevices::problem() {
  start();
  if (is_forked()) return kForked;
  const std::lock_guard lock(mutex_);
  return found_.empty() ? problem_ : "";
}

}  // namespace remuda
