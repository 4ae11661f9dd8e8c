#include "manager/placement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "base/log.h"
#include "device/gpu_arena.h"
#include "device/gpu_errors.h"
#include "device/memory_budget.h"
#include "manager/residency.h"

namespace remuda {
namespace {

constexpr std::string_view kAnyGpu = "cuda";

// What demands a GPU; empty: nothing does.
std::string demand_of(const Settings& settings) {
  if (settings.device.starts_with(kAnyGpu)) return "device " + settings.device;
  return settings.device.empty() && settings.masx_force_gpu ? "masx_force_gpu" : "";
}

bool is_wanted(const PlacementRequest& request, const Device& device) {
  return device.kind == DeviceKind::kGpu && (!request.device || *request.device == device.id);
}

int64_t instances_on(const PlacementRequest& request, const std::string& device) {
  const auto found = request.instances.find(device);
  return found == request.instances.end() ? 0 : found->second;
}

// "cuda:0 has 1024 bytes available", "cuda:1 fell off the bus".
std::string describe(std::span<const Device> devices, const PlacementRequest& request) {
  std::vector<std::string> parts;
  for (const Device& device : devices) {
    if (!is_wanted(request, device)) continue;
    const auto avoided = request.avoided.find(device.id);
    if (!device.problem.empty()) {
      parts.push_back(fmt::format("{} can't be used: {}", device.id, device.problem));
    } else if (avoided != request.avoided.end()) {
      parts.push_back(fmt::format("{} is not tried for a while: {}", device.id, avoided->second));
    } else {
      parts.push_back(fmt::format("{} has {} bytes available", device.id, device.memory_available));
    }
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

// Where all that would do is lost.
void fail_if_lost(std::span<const Device> devices, const PlacementRequest& request) {
  for (const Device& device : devices) {
    if (!is_wanted(request, device) || !device.is_lost) continue;
    throw DeviceError(device.id, /*is_lost=*/true,
                      fmt::format("{}: {} can't be used: {}; it is lost to this process, and no other GPU can stand in "
                                  "({}); restart the process, or {}",
                                  request.model, device.id, device.problem, request.demand, request.instead));
  }
}

// "this machine has cuda:0 (NVIDIA H100), cuda:1 can't be used: it fell off the bus", and what to do.
[[noreturn]] void fail_without_gpu(std::span<const Device> devices, const PlacementRequest& request) {
  fail_if_lost(devices, request);
  std::vector<std::string> gpus;
  bool any_works = false;
  for (const Device& device : devices) {
    if (device.kind != DeviceKind::kGpu) continue;
    any_works = any_works || device.problem.empty();
    gpus.push_back(device.problem.empty() ? fmt::format("{} ({})", device.id, device.name)
                                          : fmt::format("{} can't be used: {}", device.id, device.problem));
  }
  const std::string none = request.gpu_problem.empty() ? "no GPU" : fmt::format("no GPU ({})", request.gpu_problem);
  fail(ErrorCode::kUnsupported,
       "{}: a GPU is demanded ({}), and there is {} that this process can compute on; this machine has {}; {}{}",
       request.model, request.demand, request.device ? "no " + *request.device : "none",
       gpus.empty() ? none : fmt::format("{}", fmt::join(gpus, ", ")),
       request.device && any_works ? "name one that works, or " : "", request.instead);
}

// The GPU with most memory free of those on which it fits; null where it fits on none.
const Device* roomiest(const PlacementRequest& request, std::span<const Device> devices) {
  const Device* best = nullptr;
  for (const Device& device : devices) {
    if (!is_wanted(request, device) || !device.problem.empty() || request.avoided.contains(device.id)) continue;
    const bool has_weights = instances_on(request, device.id) > 0 || request.resident.contains(device.id);
    if (instances_that_fit(request.gpu_cost, device.memory_available, has_weights) < 1) continue;
    if (best == nullptr || device.memory_available > best->memory_available) best = &device;
  }
  return best;
}

// Whether a GPU would have room if it had nothing else.
bool fits_when_empty(const PlacementRequest& request, std::span<const Device> devices) {
  return std::ranges::any_of(devices, [&](const Device& device) {
    return is_wanted(request, device) && device.problem.empty() &&
           instances_that_fit(request.gpu_cost, less_headroom(device.memory_total), /*has_weights=*/false) > 0;
  });
}

// Counts in what this process would give back on each GPU for an instance: idle models' weights, and what arenas keep.
void add_reclaimable(std::span<Device> devices, const std::set<std::string>& full) {
  const std::map<std::string, GpuArenaStats> arenas = GpuArena::all_stats();
  const auto residencies = Residency::all();
  for (Device& device : devices) {
    if (device.kind != DeviceKind::kGpu || !device.problem.empty() || full.contains(device.id)) continue;
    if (const auto arena = arenas.find(device.id); arena != arenas.end()) {
      device.memory_available += arena->second.reserved - std::min(arena->second.reserved, arena->second.allocated);
    }
    for (const auto& residency : residencies) {
      if (residency->device() == device.id && residency->idle_since()) {
        device.memory_available += residency->snapshot().bytes;
      }
    }
    device.memory_available = std::min(device.memory_available, device.memory_total);
  }
}

// The machine's, as they are for this model.
std::vector<Device> devices_for(const PlacementRequest& request) {
  std::vector<Device> devices = current_devices();
  for (Device& device : devices) {
    if (device.kind != DeviceKind::kGpu || !device.problem.empty()) continue;
    if ((device.computes & request.kind) != request.kind) {
      device.problem = fmt::format("remuda's library has no kernels for {}",
                                   request.kind == cuda::kComputesBart ? "BART" : "encoders");
    } else if (!request.shape_problem.empty()) {
      device.problem = fmt::format("remuda has no kernels for this model on GPUs: {}", request.shape_problem);
    }
  }
  return devices;
}

PlacementRequest base_request(const Settings& settings, std::string model, int32_t kind) {
  PlacementRequest request;
  request.kind = kind;
  request.model = std::move(model);
  request.force_cpu = is_cpu_alone(settings);
  request.demand = demand_of(settings);
  if (settings.device.starts_with(kAnyGpu) && settings.device != kAnyGpu) request.device = settings.device;
  request.fallback = settings.fallback;
  if (settings.precision == Precision::kInt8 && !request.demand.empty()) {
    fail(ErrorCode::kUnsupported,
         "{}: precision int8 is for CPUs, and a GPU is demanded ({}); use fp32, fp16, bf16 or tf32, or set device to "
         "cpu",
         request.model, request.demand);
  }
  if (is_for_gpus_alone(settings.precision)) {
    if (request.force_cpu) precision_on(DeviceKind::kCpu, settings.precision);  // Throws.
    if (request.demand.empty()) {
      request.demand = fmt::format("precision {}", to_string(settings.precision));
      request.instead = "set precision to auto";
    }
    request.fallback = Fallback::kRequire;
  }
  if (!request.demand.empty()) request.gpu_problem = gpu_problem();
  return request;
}

}  // namespace

DeviceKind kind_of(const std::string& device) { return device == kCpuDevice ? DeviceKind::kCpu : DeviceKind::kGpu; }

bool is_cpu_alone(const Settings& settings) {
  if (settings.precision == Precision::kInt8 && demand_of(settings).empty()) return true;
  return settings.device.empty() ? settings.masx_force_cpu : settings.device == kCpuDevice;
}

int64_t instances_that_fit(const MemoryCost& cost, uint64_t available, bool has_weights) {
  const uint64_t weights = has_weights ? 0 : cost.shared_weights + cost.loading;
  if (available < weights) return 0;
  const uint64_t room = (available - weights) / std::max<uint64_t>(cost.workspace, 1);
  return static_cast<int64_t>(std::min<uint64_t>(room, INT64_MAX));
}

std::optional<Place> next_place(const PlacementRequest& request, std::span<const Device> devices) {
  const Place cpu{.device = std::string(kCpuDevice)};
  if (request.force_cpu) return cpu;
  const auto works = [&](const Device& device) { return is_wanted(request, device) && device.problem.empty(); };
  if (std::ranges::none_of(devices, works)) {
    if (!request.demand.empty()) fail_without_gpu(devices, request);
    if (describe(devices, request).empty()) return cpu;  // A machine without GPUs: nothing was fallen back from.
  }
  if (const Device* gpu = roomiest(request, devices)) return Place{.device = gpu->id};

  const std::string why = fmt::format("{}: needs {} bytes of weights and {} of workspace on a GPU; {}", request.model,
                                      request.gpu_cost.shared_weights + request.gpu_cost.loading,
                                      request.gpu_cost.workspace, describe(devices, request));
  // Those on a GPU that is avoided are no help to who left it.
  const auto on_gpus = std::ranges::count_if(devices, [&](const Device& device) {
    return is_wanted(request, device) && !device.is_lost && !request.avoided.contains(device.id) &&
           instances_on(request, device.id) > 0;
  });
  switch (request.fallback) {
    case Fallback::kRequire:
      if (on_gpus > 0) return std::nullopt;
      if (std::ranges::none_of(devices, works)) {
        PlacementRequest demanding = request;
        demanding.demand = "fallback is require";
        demanding.instead = "set fallback to prefer or spill";
        fail_without_gpu(devices, demanding);
      }
      if (fits_when_empty(request, devices)) {
        throw NoRoomYet(why +
                        "; others have it: free some, use a smaller precision, or set fallback to prefer or spill");
      }
      throw OutOfMemory(why + "; use a smaller precision, or set fallback to prefer or spill");
    case Fallback::kPrefer:
      if (on_gpus > 0) return std::nullopt;
      break;
    case Fallback::kSpill:
      break;
  }
  return Place{.device = std::string(kCpuDevice), .fell_back = why};
}

struct Placement::Counts {
  using Clock = std::chrono::steady_clock;
  struct Avoided {
    Clock::time_point until = Clock::time_point::min();
    Clock::duration duration = Clock::duration(0);
    std::string why = {};
  };

  std::mutex mutex;
  // All below are guarded by mutex.
  std::map<std::string, int64_t> instances;  // By device.
  std::map<std::string, Avoided> avoided;    // By device.
  bool shape_problem_is_said = false;
  Clock::time_point next_look = Clock::time_point::min();  // For a better place.

  // What there is at the moment. The mutex is held.
  void add_to(PlacementRequest& request) const {
    const Clock::time_point now = Clock::now();
    for (const auto& [device, avoidance] : avoided) {
      if (now < avoidance.until) request.avoided.emplace(device, avoidance.why);
    }
    request.instances = instances;
  }
};

Placement::Stay::Stay(std::shared_ptr<Counts> counts, std::string device)
    : counts_(std::move(counts)), device_(std::move(device)) {
  const std::lock_guard lock(counts_->mutex);
  ++counts_->instances[device_];
}

Placement::Stay::~Stay() {
  const std::lock_guard lock(counts_->mutex);
  --counts_->instances[device_];
}

int64_t Placement::Stay::instances() const {
  const std::lock_guard lock(counts_->mutex);
  return counts_->instances[device_];
}

bool Placement::Stay::has_better_place() const {
  if (!wanted_) return false;
  PlacementRequest request = *wanted_;
  {
    const std::lock_guard lock(counts_->mutex);
    const Counts::Clock::time_point now = Counts::Clock::now();
    if (now < counts_->next_look) return false;
    counts_->next_look = now + kAvoided;
    counts_->add_to(request);
  }
  try {
    return roomiest(request, devices_for(request)) != nullptr;
  } catch (const std::exception& error) {
    log::debug("{}: no look for a better place than {}: {}", request.model, device_, error.what());
    return false;
  }
}

Placement::Placement(const Settings& settings, std::string model, std::shared_ptr<std::atomic<uint64_t>> fallbacks,
                     int32_t kind)
    : request_(base_request(settings, std::move(model), kind)),
      counts_(std::make_shared<Counts>()),
      fallbacks_(std::move(fallbacks)) {
  check_demand();
}

void Placement::exclude_gpus(std::string shape_problem) {
  request_.shape_problem = std::move(shape_problem);
  check_demand();
}

// Of no cost: there is room wherever one works.
void Placement::check_demand() const {
  if (!request_.demand.empty()) next_place(request_, devices_for(request_));
}

PlacementRequest Placement::request(const MemoryCost& gpu_cost, const std::set<std::string>& resident) const {
  PlacementRequest request = request_;
  request.resident = resident;
  request.gpu_cost = gpu_cost;
  const std::lock_guard lock(counts_->mutex);
  counts_->add_to(request);
  return request;
}

Recovery Placement::recovery(const std::exception_ptr& error) const {
  try {
    std::rethrow_exception(error);
  } catch (const DeviceError& failed) {
    // One that isn't lost may fail anew.
    const bool may_leave = failed.is_lost() || (request_.demand.empty() && !waits_for_room());
    return may_leave ? Recovery::kMove : Recovery::kFail;
  } catch (const OutOfMemory&) {
    return waits_for_room() ? Recovery::kWait : Recovery::kMove;
  } catch (...) {
    return Recovery::kFail;
  }
}

std::string Placement::leave(const std::exception_ptr& error) const {
  try {
    std::rethrow_exception(error);
  } catch (const DeviceError& failed) {
    if (failed.is_lost()) return {};
    avoid(failed.device(), failed.what(), kLongestAvoided);
    return failed.device();
  } catch (const OutOfMemory& shortage) {
    if (!is_of_gpu(error)) return {};
    avoid(shortage.device(), shortage.what(), kAvoided);
    return shortage.device();
  } catch (...) {
    return {};
  }
}

void Placement::avoid(const std::string& device, std::string why, std::chrono::seconds at_first) const {
  const Counts::Clock::time_point now = Counts::Clock::now();
  const std::lock_guard lock(counts_->mutex);
  Counts::Avoided& avoided = counts_->avoided[device];
  if (now < avoided.until) return;  // As others found already.
  const bool again = now < avoided.until + avoided.duration;
  avoided.duration =
      std::clamp<Counts::Clock::duration>(again ? 2 * avoided.duration : at_first, at_first, kLongestAvoided);
  avoided.until = now + avoided.duration;
  avoided.why = std::move(why);
}

// By what GPUs have free, or would have without what is idle.
std::optional<Place> Placement::choose(const PlacementRequest& request, const std::set<std::string>& full) const {
  std::vector<Device> devices = devices_for(request);
  for (Device& device : devices) {
    if (full.contains(device.id)) device.memory_available = 0;
  }
  if (roomiest(request, devices) == nullptr) add_reclaimable(devices, full);
  return next_place(request, devices);
}

// Of falling back: what GPUs have no kernels for they never will have.
bool Placement::is_news() const {
  if (request_.shape_problem.empty()) return true;
  const std::lock_guard lock(counts_->mutex);
  return !std::exchange(counts_->shape_problem_is_said, true);
}

std::shared_ptr<const Placement::Stay> Placement::next(const MemoryCost& gpu_cost,
                                                       const std::set<std::string>& resident,
                                                       const std::set<std::string>& full) {
  if (request_.force_cpu) return std::make_shared<Stay>(counts_, std::string(kCpuDevice));
  const PlacementRequest wanted = request(gpu_cost, resident);
  std::optional<Place> place = choose(wanted, full);
  if (!place) {
    throw NoRoomYet(fmt::format("{}: no GPU has room for another instance, and fallback is {}", request_.model,
                                to_string(request_.fallback)));
  }
  if (!place->fell_back.empty()) {
    if (is_news()) log::warning("computing on the CPU: {}", place->fell_back);
    ++*fallbacks_;
  }
  const auto stay = std::make_shared<Stay>(counts_, std::move(place->device));
  if (!place->fell_back.empty()) {
    stay->wanted_ = wanted;
    stay->wanted_->avoided.clear();
    stay->wanted_->resident.clear();
    const std::lock_guard lock(counts_->mutex);
    counts_->next_look = Counts::Clock::now() + kAvoided;
  }
  return stay;
}

std::string Placement::device(const MemoryCost& gpu_cost, const std::set<std::string>& resident) const {
  if (request_.force_cpu) return std::string(kCpuDevice);
  const PlacementRequest wanted = request(gpu_cost, resident);
  const auto most = std::ranges::max_element(wanted.instances, {}, [](const auto& each) { return each.second; });
  if (most != wanted.instances.end() && most->second > 0) return most->first;
  return choose(wanted, {}).value_or(Place{.device = std::string(kCpuDevice)}).device;
}

}  // namespace remuda
