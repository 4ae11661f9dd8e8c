// Weights in the layout of the kernels, kept from load to load and shared by processes: when a file of them is used,
// when it is made, and what happens where neither can be.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "device/compute_pool.h"
#include "io/file_descriptor.h"
#include "io/packed_file.h"
#include "remuda/precision.h"
#include "remuda/settings.h"

namespace remuda {

// The directory that settings.cache_dir names, or $XDG_CACHE_HOME/remuda, or ~/.cache/remuda; empty where there is no
// home either.
std::filesystem::path cache_directory(const Settings& settings);

// What a model's packed weights are made of.
struct WeightSource {
  std::filesystem::path directory;
  uint64_t bytes = 0;                     // Of the model's files.
  std::string identity;                   // file_identity() of them.
  std::function<std::string()> identify;  // Says it again: the files may have been replaced meanwhile.
  Precision precision = Precision::kFp32;
};

// One model's file in <cache directory>/weights. Nothing about it is an error: what can't be read is made again, and
// what can't be written is done without, with a line in the log.
class WeightCache {
 public:
  WeightCache() = default;  // None: every load packs into memory.
  WeightCache(const Settings& settings, WeightSource source);

  // Whether there is a file, for a load that need not pack; whether it can be used is seen when it is.
  bool has_file() const;

  // make(packed): the model, its weights read from or written to this file. After make(nullptr), in memory of its own.
  // Processes that load the same model at once pack it once: the others wait, and map what was made.
  template <typename Make>
  auto load(ComputePool& pool, Make&& make) const {
    try {
      Lock lock;
      if (std::shared_ptr<io::PackedFile> packed = open_or_create(pool, lock)) {
        auto model = make(packed);
        if (!packed->is_complete()) commit(*packed);
        return model;
      }
    } catch (const io::PackedFileError& error) {
      give_up(error);
    }
    return make(nullptr);
  }

 private:
  // Holds other processes back from packing in the same directory; released by the destructor, or by the process's end.
  struct Lock {
    ~Lock();

    io::FileDescriptor directory;
  };

  std::shared_ptr<io::PackedFile> open_or_create(ComputePool& pool, Lock& lock) const;
  std::shared_ptr<io::PackedFile> open(ComputePool& pool) const;
  void commit(io::PackedFile& packed) const;
  void give_up(const io::PackedFileError& error) const;

  WeightSource source_;
  std::string key_;
  std::filesystem::path path_;  // Empty: no cache.
  bool is_asked_for_ = false;   // The directory is one that the settings name.
};

}  // namespace remuda
