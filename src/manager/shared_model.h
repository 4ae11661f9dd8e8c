// What managers of all kinds of model have in common: settings to what they compute with, and the one copy of a model
// that all instances in the process share.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/fail.h"
#include "base/log.h"
#include "device/compute_pool.h"
#include "device/gpu_errors.h"
#include "device/memory_budget.h"
#include "manager/managed_pool.h"
#include "manager/placement.h"
#include "manager/recovery.h"
#include "manager/weight_cache.h"
#include "manager/weight_store.h"
#include "remuda/memory_cost.h"
#include "remuda/model_instance.h"
#include "remuda/precision.h"
#include "remuda/settings.h"
#include "text/tokenizer.h"

namespace remuda {

// The process's pool, of as many threads as the settings say. Throws Error(kInvalidArgument) where it has others.
ComputePool& compute_pool(const Settings& settings);

// Throws OutOfMemory where a device's budget has no room, beside all weights, for the workspaces of so many instances
// of a model. One there always is.
void check_room(const std::string& model, const MemoryCost& cost, int64_t instances, const std::string& device);

// The limit that settings set for all models in the process; none where they don't.
MemoryBudget::Limit memory_limit(const Settings& settings);

// Names the files of a model as they are now (path, inode, size, modification time of each): two loads with the same
// identity give the same weights. Throws Error(kIo).
std::string file_identity(const std::filesystem::path& directory);

// Where a model comes from and what it takes.
template <typename Model>
struct ModelSource {
  std::filesystem::path directory;
  std::string name;  // As it was asked for.
  int32_t kind = 0;  // Of cuda::kComputes*: what a GPU must have kernels for.
  // On a device of that kind, at a precision that it has.
  std::function<MemoryCost(DeviceKind, Precision)> cost;
  // On a device, in whose budget what it costs has been reserved. Called without a lock, when nobody in the process has
  // the model there.
  std::function<std::shared_ptr<const Model>(const std::string& device, Precision)> load;
  // Alone, for when a GPU has no room for the model; none: that is an error.
  std::function<std::shared_ptr<const text::Tokenizer>()> load_tokenizer = nullptr;
};

// A model for an instance, and where it is.
template <typename Model>
struct PlacedModel {
  std::shared_ptr<const Model> model;  // Keeps the place, too.
  std::string device;
  Precision precision = Precision::kFp32;
  uint64_t bytes = 0;                           // Of the weights there.
  std::function<bool()> has_better_place = {};  // See ModelInstance::move_when().
};

// A model by its files, its precision and its device. `Model` has a `tokenizer`, a shared pointer, and what WeightStore
// asks for. As long as it lives, the settings' memory limit holds for the process.
//
// Thread-safe. Holds no model, but the tokenizer of the last one, so that bad input never costs a load, and nobody
// holds a model while he waits for an instance of it.
template <typename Model>
class SharedModel {
 public:
  using Pointer = std::shared_ptr<const Model>;

  // `pool` has the model's instances.
  SharedModel(const Settings& settings, std::shared_ptr<ManagedPool> pool,
              std::shared_ptr<std::atomic<uint64_t>> fallbacks, ModelSource<Model> source)
      : source_(std::move(source)),
        asked_(settings.precision),
        gpu_use_fp16_(settings.gpu_use_fp16),
        placement_(settings, source_.name, std::move(fallbacks), source_.kind),
        pool_(std::move(pool)),
        identity_(file_identity(source_.directory)),
        limit_(memory_limit(settings)) {}

  const std::filesystem::path& directory() const { return source_.directory; }

  // Where its configuration, read since then, says so; see Placement::exclude_gpus().
  void exclude_gpus(std::string shape_problem) {
    if (!shape_problem.empty()) placement_.exclude_gpus(std::move(shape_problem));
  }

  // Loads it if nobody has it. Throws what loading throws; Error(kInvalidFile) where files were changed since the
  // constructor: make one before reading their configuration; OutOfMemory and TimeoutError where there is no room.
  Pointer get() {
    const std::string where = device();
    return get(where, cost_on(where), placement_.waits_for_room() ? kNoEnd : kPatience);
  }

  // The same for an instance that its pool is making, on the device that is its place. Throws OutOfMemory, too, where
  // no budget has room for so many that compute at once.
  PlacedModel<Model> get_for_instance() {
    const MemoryCost on_gpu = gpu_cost();
    for (std::set<std::string> full;;) {
      const std::shared_ptr<const Placement::Stay> stay = placement_.next(on_gpu, resident(), full);
      const bool gpu = kind_of(stay->device()) == DeviceKind::kGpu;
      const MemoryCost cost = gpu ? on_gpu : cost_on(stay->device());
      try {
        const auto patience = placement_.waits_for_room() ? kNoEnd : kPatience;
        Pointer model = hold(get(stay->device(), cost, patience), stay, cost);
        const uint64_t bytes = model->bytes();
        return {std::move(model), stay->device(), precision_at(stay->device()), bytes,
                [stay] { return stay->has_better_place(); }};
      } catch (const DeviceError& error) {
        if (recovery(std::current_exception()) != Recovery::kMove) throw;
        log::info("no use of {}: {}", stay->device(), error.what());
        if (!placement_.leave(std::current_exception()).empty()) full.insert(stay->device());
      } catch (const OutOfMemory& error) {
        // Others took the memory meanwhile.
        if (stay->device() == kCpuDevice) throw;
        log::info("no room on {}: {}", stay->device(), error.what());
        full.insert(stay->device());
      }
    }
  }

  // Where instances compute; see Placement::device().
  std::string device() const { return placement_.device(gpu_cost(), resident()); }
  // What they compute in.
  Precision precision() const { return precision_at(device()); }

  // Loads the model only where it was never loaded, and then keeps it with what it returns: hold that until there is an
  // instance, or the model is loaded twice.
  std::shared_ptr<const text::Tokenizer> tokenizer() {
    {
      const std::lock_guard lock(mutex_);
      if (tokenizer_ != nullptr) return tokenizer_;
    }
    try {
      const std::string where = device();
      const Pointer model = get(where, cost_on(where), Clock::duration(0));
      return {model, model->tokenizer.get()};
    } catch (const Error&) {
      // There may be room when it is this call's turn, or in another place.
      if (!may_pass(std::current_exception()) || !source_.load_tokenizer) throw;
    }
    auto alone = source_.load_tokenizer();
    const std::lock_guard lock(mutex_);
    tokenizer_ = std::move(alone);
    return tokenizer_;
  }

  // What becomes of work of calls without an instance of their own that failed on a GPU.
  Recovery recovery(const std::exception_ptr& error) const { return placement_.recovery(error); }
  // When that begins, for so many calls: says so, and leaves what it moves away from.
  void recover(Recovery recovery, int64_t calls, const std::exception_ptr& error) {
    log_recovery({.pool = source_.name, .recovery = recovery, .calls = calls, .error = error});
    if (recovery == Recovery::kMove) leave(error);
  }
  // For work of a call with an instance of its own, which ends with the error: so that its next one is elsewhere.
  void leave_failed(const std::exception_ptr& error) const {
    if (recovery(error) == Recovery::kMove) leave(error);
  }

  // Where its weights are kept packed; file_bytes is the size of the model's files.
  WeightCache cache(const Settings& settings, uint64_t file_bytes, Precision precision) const {
    return {settings,
            {.directory = source_.directory,
             .bytes = file_bytes,
             .identity = identity_,
             .identify = [this] { return file_identity(source_.directory); },
             .precision = precision}};
  }

 private:
  using Clock = MemoryBudget::Clock;

  // How long weights may wait for what others use of a GPU, where there is another place for them; and where not.
  static constexpr Clock::duration kPatience = std::chrono::seconds(1);
  static constexpr Clock::duration kNoEnd = Clock::duration::max();

  Precision precision_at(const std::string& device) const {
    return precision_on(kind_of(device), asked_, gpu_use_fp16_);
  }
  MemoryCost cost_on(const std::string& device) const { return source_.cost(kind_of(device), precision_at(device)); }
  // For a choice of device; nothing where there is none.
  MemoryCost gpu_cost() const {
    if (placement_.is_cpu_alone()) return {};
    return source_.cost(DeviceKind::kGpu, precision_on(DeviceKind::kGpu, asked_, gpu_use_fp16_));
  }

  std::string key(const std::string& device) const {
    return fmt::format("{}|{}|{}", identity_, to_string(precision_at(device)), device);
  }
  // GPUs that have the weights.
  std::set<std::string> resident() const {
    std::set<std::string> devices;
    if (placement_.is_cpu_alone()) return devices;
    for (const auto& residency : Residency::all()) {
      const std::string& device = residency->device();
      if (device != kCpuDevice && residency->key() == key(device)) devices.insert(device);
    }
    return devices;
  }

  // Whether it is for want of what there may be later, or elsewhere.
  static bool may_pass(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const NoRoomYet&) {
      return true;
    } catch (...) {
      return is_of_gpu(error);
    }
  }

  // Of a GPU that has no memory to compute with, or failed, idle instances go, and none is made there for a while.
  void leave(const std::exception_ptr& error) const {
    const std::string left = placement_.leave(error);
    if (!left.empty()) pool_->evict_idle_on(left);
  }

  Pointer get(const std::string& device, const MemoryCost& cost, Clock::duration longest_wait_for_gpu) {
    const GpuMemoryPatience patience(longest_wait_for_gpu);
    const Precision precision = precision_at(device);
    const WeightRequest request{.key = key(device),
                                .what = fmt::format("{} in {}", source_.name, to_string(precision)),
                                .cost = cost,
                                .budget = &MemoryBudget::of(device)};
    Pointer model = WeightStore<Model>::global().get(request, pool_, [&, this] { return load(device, precision); });
    const std::lock_guard lock(mutex_);
    tokenizer_ = model->tokenizer;
    return model;
  }

  // The model as long as it has its place there.
  Pointer hold(Pointer model, std::shared_ptr<const Placement::Stay> stay, const MemoryCost& cost) const {
    int64_t instances = stay->instances();
    if (stay->device() == kCpuDevice) {
      // Those that are on their way out compute no more.
      const std::optional<PoolStats> stats = pool_->stats();
      instances = 1 + (stats && stats->by_device.contains(stay->device()) ? stats->by_device.at(stay->device()) : 0);
    }
    check_room(source_.name, cost, instances, stay->device());
    const Model* const bare = model.get();
    return {
        std::make_shared<std::pair<Pointer, std::shared_ptr<const Placement::Stay>>>(std::move(model), std::move(stay)),
        bare};
  }

  Pointer load(const std::string& device, Precision precision) const {
    if (file_identity(source_.directory) != identity_) {
      fail(ErrorCode::kInvalidFile, "{}: files were changed since this manager read the configuration; make a new one",
           source_.directory.string());
    }
    const auto start = std::chrono::steady_clock::now();
    Pointer model = source_.load(device, precision);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    log::info("loaded {} in {} on {} ({:.1f} MB) in {:.0f} ms", source_.directory.string(), to_string(precision),
              device, static_cast<double>(model->bytes()) / 1e6, took.count());
    return model;
  }

  const ModelSource<Model> source_;
  const Precision asked_;
  const bool gpu_use_fp16_;
  Placement placement_;
  const std::shared_ptr<ManagedPool> pool_;
  const std::string identity_;
  const MemoryBudget::Limit limit_;

  std::mutex mutex_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;  // Guarded by mutex_.
};

// The metadata of an instance whose making began at `start`.
ModelMetadata describe_instance(std::string model_name, std::string model_type, std::string device, Precision precision,
                                uint64_t shared_bytes, std::chrono::steady_clock::time_point start);

}  // namespace remuda
