// Where a model's next instance goes, by what devices have free and what settings ask for.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "device/devices.h"
#include "manager/recovery.h"
#include "remuda/memory_cost.h"
#include "remuda/settings.h"

namespace remuda {

DeviceKind kind_of(const std::string& device);

// Whether settings leave no device but the CPU: they say so, or a precision does that only CPUs have while no GPU is
// demanded.
bool is_cpu_alone(const Settings& settings);

struct PlacementRequest {
  std::string model;                         // For messages.
  int32_t kind = 0;                          // Of cuda::kComputes*: what a GPU must have kernels for; 0: anything.
  std::string shape_problem = {};            // Why no GPU has kernels for a model of these sizes; empty: they have.
  MemoryCost gpu_cost = {};                  // At the precision that a GPU computes in.
  std::map<std::string, int64_t> instances;  // Of the model, by device; where there are some, the weights are there.
  std::set<std::string> resident = {};       // GPUs that have the weights, whoever has instances there.
  std::map<std::string, std::string> avoided = {};  // GPUs that can't compute now, whatever is said of them, and why.
  bool force_cpu = false;
  std::string demand = {};                            // What of the settings demands a GPU; empty: nothing does.
  std::string instead = "set device to auto or cpu";  // What to do where there is none.
  std::optional<std::string> device = {};             // Only this GPU, by its id; for what demands one.
  Fallback fallback = Fallback::kPrefer;
  std::string gpu_problem = {};  // Why the machine has no GPUs, for messages.
};

struct Place {
  std::string device;
  std::string fell_back = {};  // Why it is the CPU where a GPU was wanted; empty: it is what was wanted.
};

// The device for one more instance. Of several GPUs the one that has most memory free where it fits: the weights,
// unless they are there already, and a workspace. Where it fits on none, `fallback` decides:
//   require  nothing: the pool has what it can have; where it has no instance yet NoRoomYet, for memory that a GPU
//            would have if nobody else had it, or OutOfMemory
//   prefer   the CPU, with a warning, as long as no GPU has an instance; else nothing
//   spill    the CPU
// Nothing means that callers wait for the instances that there are. `devices` is as they are now, the CPU among them.
// Throws Error(kUnsupported) where a GPU is demanded and it, or any, is not there or doesn't work, naming those that
// there are, and for `require` where there are GPUs and none works; DeviceError where either asks for what this process
// has lost.
std::optional<Place> next_place(const PlacementRequest& request, std::span<const Device> devices);

// How many more instances fit on a device: as many workspaces as are free beside the weights.
int64_t instances_that_fit(const MemoryCost& cost, uint64_t available, bool has_weights);

// Where a manager's instances are, as its settings ask for, by what the devices have when one is made. Thread-safe.
class Placement {
  struct Counts;

 public:
  // One instance's place, as long as the object lives; it may outlive the placement.
  class Stay {
   public:
    Stay(std::shared_ptr<Counts> counts, std::string device);
    ~Stay();
    Stay(const Stay&) = delete;
    Stay& operator=(const Stay&) = delete;

    const std::string& device() const { return device_; }
    // The manager's instances there, this one included.
    int64_t instances() const;
    // Where it is the CPU because GPUs had no room: whether one has room by now. Looks once a second, for all of a
    // placement's instances; false in between.
    bool has_better_place() const;

   private:
    friend class Placement;

    const std::shared_ptr<Counts> counts_;
    const std::string device_;
    std::optional<PlacementRequest> wanted_;  // Where it fell back: what for.
  };

  // `fallbacks` counts instances that went to the CPU where a GPU was wanted. Throws Error(kUnsupported) where a GPU is
  // demanded and there is none that works, and for a precision that the device that is asked for doesn't have. A
  // precision that only GPUs have demands one, and is never fallen back from. `kind` is of cuda::kComputes*: GPUs that
  // don't compute it don't work.
  Placement(const Settings& settings, std::string model, std::shared_ptr<std::atomic<uint64_t>> fallbacks,
            int32_t kind = 0);

  // No GPU has kernels for the model, as this says; empty: they have. To be called before all below. Throws as the
  // constructor does.
  void exclude_gpus(std::string shape_problem);

  // Whether there is no device but the CPU, and no need to know what an instance costs on a GPU.
  bool is_cpu_alone() const { return request_.force_cpu; }

  // For one more instance, of this cost on a GPU; those in `resident` have the weights; the GPUs in `full` turned out
  // to have no room for it, or failed. Falling back is logged, once where it is for want of kernels. Throws as
  // next_place() does, and OutOfMemory where those that there are have to do.
  std::shared_ptr<const Stay> next(const MemoryCost& gpu_cost, const std::set<std::string>& resident,
                                   const std::set<std::string>& full);

  // What becomes of work of calls without an instance of their own that failed on a GPU.
  Recovery recovery(const std::exception_ptr& error) const;
  // Whether work that a GPU has no memory for waits for it there, rather than go elsewhere.
  bool waits_for_room() const { return request_.fallback == Fallback::kRequire; }
  // No instance goes to the GPU that an error is of for a while: for kAvoided where it had no memory to compute with,
  // and twice as long each time that it was tried in vain; for kLongestAvoided where it failed. Returns that GPU; empty
  // where the error is of none, or of one that is lost, which is not chosen again anyway.
  std::string leave(const std::exception_ptr& error) const;
  static constexpr std::chrono::seconds kAvoided{1};
  static constexpr std::chrono::seconds kLongestAvoided{64};

  // Where instances compute: what has most of them, or would have the first. Throws as next() does.
  std::string device(const MemoryCost& gpu_cost, const std::set<std::string>& resident) const;

 private:
  // With what the manager has at the moment.
  PlacementRequest request(const MemoryCost& gpu_cost, const std::set<std::string>& resident) const;
  std::optional<Place> choose(const PlacementRequest& request, const std::set<std::string>& full) const;

  void check_demand() const;
  bool is_news() const;
  void avoid(const std::string& device, std::string why, std::chrono::seconds at_first) const;

  PlacementRequest request_;  // Without cost and instances.
  const std::shared_ptr<Counts> counts_;
  const std::shared_ptr<std::atomic<uint64_t>> fallbacks_;
};

}  // namespace remuda
