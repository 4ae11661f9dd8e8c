// What a pool leases out: a model ready to be used, and what is known about it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "remuda/precision.h"

namespace remuda {

struct ModelMetadata {
  uint64_t id = 0;  // Unique in the process; given by the pool.
  std::string model_name = {};
  std::string model_type = {};  // For example "embedding".
  std::string device = {};
  Precision precision = Precision::kAuto;
  std::chrono::system_clock::time_point created = {};    // Set by the pool.
  std::chrono::system_clock::time_point last_used = {};  // Start of the last lease; set by the pool.
  uint64_t use_count = 0;                                // Leases, this one included; set by the pool.
  uint64_t shared_bytes = 0;                             // Of weights that other instances use too.
  uint64_t private_bytes = 0;
  std::chrono::nanoseconds load_time{0};
};

// Base of everything that a pool holds. An instance belongs to one thread at a time: the holder of its lease.
class ModelInstance {
 public:
  explicit ModelInstance(ModelMetadata metadata) : metadata_(std::move(metadata)) {}
  virtual ~ModelInstance();
  ModelInstance(const ModelInstance&) = delete;
  ModelInstance& operator=(const ModelInstance&) = delete;

  const ModelMetadata& metadata() const { return metadata_; }

  // For the holder: its use failed in a way that may have damaged it, so that the pool destroys it when it comes home.
  void mark_failed() { has_failed_ = true; }
  // For who makes it: it is where it is because a better place had no room. Asked when it comes home, without a lock;
  // where that says that there is room now, it is destroyed, and the next is made there. Must not throw.
  void move_when(std::function<bool()> has_better_place) { has_better_place_ = std::move(has_better_place); }

 private:
  friend class PoolCore;
  ModelMetadata metadata_;
  bool has_failed_ = false;
  std::function<bool()> has_better_place_;
};

}  // namespace remuda
