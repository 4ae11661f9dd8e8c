// What a process can configure, and where the values come from.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "remuda/precision.h"

namespace remuda {

// What to do when the chosen device has no room.
enum class Fallback {
  kRequire,  // An error.
  kPrefer,   // The CPU, with a warning and a counter.
  kSpill,    // GPU first, CPU for the overflow.
};

// A limit on memory: a number of bytes, or a share of what this process could take.
struct MemoryLimit {
  std::optional<uint64_t> bytes;
  std::optional<double> share;  // In (0, 1].

  // "2147483648", "2GiB", "1.5 GB", "80%"; the units are B, KiB, MiB, GiB, TiB, PiB and kB, MB, GB, TB, PB, in any
  // case, also without the B as Kubernetes writes them: "512Mi" is 2^29 bytes, "2G" is 2 * 10^9.
  // Throws Error(kInvalidArgument) naming `what`.
  static MemoryLimit parse(const std::string& text, const std::string& what);
};

// In bytes; a share is one of the memory that the machine and this process's control groups have for this process, what
// its models take already included.
uint64_t resolve(const MemoryLimit& limit);

// Values, without behaviour; a copy is independent. The environment variable of a field stands behind it.
struct Settings {
  bool model_pool_enabled = true;        // MODEL_POOL_ENABLED; false: every acquire makes an instance.
  int64_t model_pool_max_instances = 2;  // MODEL_POOL_MAX_INSTANCES, at least 1.
  bool masx_force_gpu = false;           // MASX_FORCE_GPU
  bool masx_force_cpu = true;            // MASX_FORCE_CPU
  bool gpu_use_fp16 = true;              // GPU_USE_FP16
  // REMUDA_DEVICE: auto, cpu, cuda (any GPU), or cuda:N, which is that GPU and no other; where it is set, the force
  // flags say nothing. Empty: as they say.
  std::string device;
  std::string embedding_model = "sentence-transformers/all-MiniLM-L6-v2";  // REMUDA_EMBEDDING_MODEL
  std::string summarization_model = "remuda/bart-small-synopsis";          // REMUDA_SUMMARIZATION_MODEL
  Precision precision = Precision::kAuto;                                  // REMUDA_PRECISION
  // REMUDA_MEMORY_LIMIT. Of all models in the process together: of the limits of several managers the smallest holds,
  // as long as its manager is there. None: what the machine and this process's control groups have, less a headroom,
  // which no setting can exceed.
  std::optional<MemoryLimit> memory_limit;
  // REMUDA_TASK_PARAMS; true: summaries' options are as transformers' old summarization pipeline took them:
  // config.json's task_specific_params.summarization outweighs the rest of a model's files, and its prefix goes before
  // each document.
  bool task_params = false;
  bool pinned = false;                                // REMUDA_PINNED; true: never evicted to make room for others.
  int64_t compute_threads = 0;                        // REMUDA_COMPUTE_THREADS; 0: as many as the process may use.
  std::optional<std::chrono::milliseconds> idle_ttl;  // REMUDA_IDLE_TTL, in seconds; none: as long as the pool.
  // REMUDA_MAX_LIFETIME, in seconds: an instance that was made so long ago is made anew. None: as long as the pool.
  std::optional<std::chrono::milliseconds> max_lifetime;
  int64_t min_idle = 0;  // REMUDA_MIN_IDLE: instances to have ready, as far as model_pool_max_instances leaves room.
  // REMUDA_MAX_WAITING: how many callers may wait, for an instance and for calls without one; one more gets Overloaded
  // at once. None: any number.
  std::optional<int64_t> max_waiting;
  std::chrono::milliseconds leak_threshold{std::chrono::minutes(5)};  // REMUDA_LEAK_THRESHOLD, in seconds.
  Fallback fallback = Fallback::kPrefer;                              // REMUDA_FALLBACK: require, prefer or spill.
  // REMUDA_CACHE_DIR; empty: $XDG_CACHE_HOME/remuda or ~/.cache/remuda. For packed weights, which processes share. A
  // "~" at its beginning is the home directory.
  std::filesystem::path cache_dir;

  // Throws Error(kInvalidArgument) naming the field when values contradict each other or are out of range.
  void validate() const;
};

// The defaults, overridden by `toml` where it exists (fields by their names, at the top level; a key that is none is an
// error), overridden by the environment (an empty variable counts as unset). A force flag that was set outweighs the
// other's default; both true is an error. Throws Error(kInvalidArgument) naming the variable, or the file and key, of a
// value that does not parse, and Error(kInvalidFile) with file, line and column where the file is not TOML.
Settings get_settings(const std::filesystem::path& toml = "remuda.toml");

// The text, where it is auto, cpu, cuda or cuda:N. Throws Error(kInvalidArgument) naming `what` (a variable, a flag).
std::string parse_device(const std::string& text, const std::string& what);

// "require", "prefer", "spill".
std::string to_string(Fallback fallback);

// The inverse of to_string. Throws Error(kInvalidArgument) naming `what` (a variable, a field).
Fallback parse_fallback(const std::string& text, const std::string& what);

}  // namespace remuda
