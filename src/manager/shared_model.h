// What managers of all kinds of model have in common: settings to what they compute with, and the one copy of a model
// that all instances in the process share.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "base/fail.h"
#include "base/log.h"
#include "device/compute_pool.h"
#include "manager/weight_cache.h"
#include "manager/weight_store.h"
#include "remuda/memory_cost.h"
#include "remuda/model_instance.h"
#include "remuda/precision.h"
#include "remuda/settings.h"
#include "text/tokenizer.h"

namespace remuda {

inline constexpr std::string_view kCpuDevice = "cpu";

// The precision that a CPU computes in when this one is asked for; never kAuto. Throws Error(kUnsupported).
Precision cpu_precision(Precision asked);

// The process's pool, of as many threads as the settings say. Throws Error(kInvalidArgument) where it has others.
ComputePool& compute_pool(const Settings& settings);

// Throws Error(kUnsupported) where a GPU is demanded: this build has none.
void refuse_gpu(const Settings& settings);

// Throws OutOfMemory with the figures where a model would not fit into the settings' limit.
void check_memory_limit(const Settings& settings, const std::string& model, Precision precision,
                        const MemoryCost& cost);

// Names the files of a model as they are now (path, inode, size, modification time of each): two loads with the same
// identity give the same weights. Throws Error(kIo).
std::string file_identity(const std::filesystem::path& directory);

// A model by its files, its precision and its device. `Model` has a `tokenizer`, a shared pointer, and bytes().
//
// Thread-safe. Holds no model, but the tokenizer of the last one, so that bad input never costs a load.
template <typename Model>
class SharedModel {
 public:
  using Pointer = std::shared_ptr<const Model>;

  // `load` is called without a lock, when nobody in the process has the model.
  SharedModel(std::filesystem::path directory, Precision precision, std::function<Pointer()> load)
      : directory_(std::move(directory)),
        precision_(precision),
        identity_(file_identity(directory_)),
        load_(std::move(load)) {}

  const std::filesystem::path& directory() const { return directory_; }

  // Loads it if nobody has it. Throws what loading throws, and Error(kInvalidFile) where files were changed since the
  // constructor: make one before reading their configuration.
  Pointer get() {
    const std::string key = fmt::format("{}|{}|{}", identity_, to_string(precision_), kCpuDevice);
    Pointer model = WeightStore<Model>::global().get(key, [this] { return load(); });
    const std::lock_guard lock(mutex_);
    tokenizer_ = model->tokenizer;
    return model;
  }

  // Loads the model only where it was never loaded, and then keeps it with what it returns.
  std::shared_ptr<const text::Tokenizer> tokenizer() {
    {
      const std::lock_guard lock(mutex_);
      if (tokenizer_ != nullptr) return tokenizer_;
    }
    const Pointer model = get();
    return {model, model->tokenizer.get()};
  }

  // Where its weights are kept packed; file_bytes is the size of the model's files.
  WeightCache cache(const Settings& settings, uint64_t file_bytes) const {
    return {settings,
            {.directory = directory_,
             .bytes = file_bytes,
             .identity = identity_,
             .identify = [this] { return file_identity(directory_); },
             .precision = precision_}};
  }

 private:
  Pointer load() const {
    if (file_identity(directory_) != identity_) {
      fail(ErrorCode::kInvalidFile, "{}: files were changed since this manager read the configuration; make a new one",
           directory_.string());
    }
    const auto start = std::chrono::steady_clock::now();
    Pointer model = load_();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    log::info("loaded {} in {} ({:.1f} MB) in {:.0f} ms", directory_.string(), to_string(precision_),
              static_cast<double>(model->bytes()) / 1e6, took.count());
    return model;
  }

  const std::filesystem::path directory_;
  const Precision precision_;
  const std::string identity_;
  const std::function<Pointer()> load_;

  std::mutex mutex_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;  // Guarded by mutex_.
};

// The metadata of an instance whose making began at `start`.
ModelMetadata describe_instance(std::string model_name, std::string model_type, Precision precision,
                                uint64_t shared_bytes, std::chrono::steady_clock::time_point start);

}  // namespace remuda
