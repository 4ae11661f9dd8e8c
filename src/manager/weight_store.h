// One copy of a model's weights in the process, whoever asks for it.
#pragma once

#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/fail.h"
#include "manager/residency.h"

namespace remuda {

// Hands out shared, immutable models by key. It keeps none alive by itself: a model goes with its last user. `Model`
// has bytes() and mapped_bytes(): the memory that it takes, and what of that is pages of files.
//
// Thread-safe. Threads that ask for the same key at once load it once; when loading fails, all who waited get the
// error, and the next to ask tries again. Memory is reserved before a load begins, so asking may wait, evict what is
// idle, and throw as MemoryBudget::reserve() does. A model that has to make room for others is given to nobody until it
// has gone and been loaded again in its turn.
template <typename Model>
class WeightStore {
 public:
  using Pointer = std::shared_ptr<const Model>;

  // Never destroyed.
  static WeightStore& global() {
    static auto* const store = new WeightStore;
    return *store;
  }

  // The request's model, from `load` (called without a lock) if nobody has it, for an instance in `user`, which may be
  // null.
  template <typename Load>
  Pointer get(const WeightRequest& request, const std::shared_ptr<ManagedPool>& user, Load&& load) {
    const Deadline deadline = MemoryWait::current().value_or(Deadline::never());
    for (;;) {
      std::promise<LoadedPointer> promise;
      std::shared_future<LoadedPointer> loading;
      LoadedPointer loaded;
      {
        const std::lock_guard lock(mutex_);
        Entry& entry = entries_[request.key];
        loaded = entry.loaded.lock();
        loading = entry.loading;
        if (loaded == nullptr && !loading.valid()) entry.loading = promise.get_future().share();
      }
      if (loaded == nullptr && !loading.valid())
        return give(load_once(request, std::forward<Load>(load), promise), user);
      if (loaded == nullptr) loaded = wait_for(loading, request, deadline);
      if (loaded == nullptr) continue;
      const std::shared_ptr<Residency> residency = loaded->residency;
      if (!residency->is_leaving()) return give(std::move(loaded), user);
      loaded.reset();
      loading = {};
      if (deadline.expired()) fail_late(request, "it makes room for others");
      residency->wait_while_leaving(deadline);
    }
  }

 private:
  struct Loaded {
    Loaded(std::shared_ptr<Residency> residency_, Pointer model_)
        : residency(std::move(residency_)), model(std::move(model_)) {}
    Loaded(const Loaded&) = delete;
    Loaded& operator=(const Loaded&) = delete;
    ~Loaded() {
      model.reset();
      residency->end();
    }

    std::shared_ptr<Residency> residency;
    Pointer model;
  };
  using LoadedPointer = std::shared_ptr<const Loaded>;

  struct Entry {
    std::weak_ptr<const Loaded> loaded;
    std::shared_future<LoadedPointer> loading;  // Valid while a thread loads.
  };

  static Pointer give(LoadedPointer loaded, const std::shared_ptr<ManagedPool>& user) {
    loaded->residency->add_user(user);
    const Model* model = loaded->model.get();
    return Pointer(std::move(loaded), model);
  }

  [[noreturn]] static void fail_late(const WeightRequest& request, const char* why) {
    throw TimeoutError(fmt::format("{}: could not be had in time: {}", request.what, why));
  }

  template <typename Load>
  LoadedPointer load_once(const WeightRequest& request, Load&& load, std::promise<LoadedPointer>& promise) {
    try {
      auto residency = std::make_shared<Residency>(request);
      const auto start = std::chrono::steady_clock::now();
      auto loaded = std::make_shared<Loaded>(residency, std::forward<Load>(load)());
      Residency::begin(residency, loaded->model->bytes(), loaded->model->mapped_bytes(),
                       std::chrono::steady_clock::now() - start);
      finish(request.key, loaded);
      promise.set_value(loaded);
      return loaded;
    } catch (...) {
      finish(request.key, nullptr);
      promise.set_exception(std::current_exception());
      throw;
    }
  }

  // What another thread loads; null where it ran out of time, which says nothing about this thread's.
  static LoadedPointer wait_for(const std::shared_future<LoadedPointer>& loading, const WeightRequest& request,
                                Deadline deadline) {
    if (deadline.is_never()) {
      loading.wait();
    } else if (loading.wait_until(deadline.when()) != std::future_status::ready) {
      fail_late(request, "another thread still loads it");
    }
    try {
      return loading.get();
    } catch (const TimeoutError&) {
      if (deadline.expired()) throw;
      return nullptr;
    }
  }

  void finish(const std::string& key, const LoadedPointer& loaded) {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&key](const auto& item) {
      return item.first != key && item.second.loaded.expired() && !item.second.loading.valid();
    });
    if (loaded == nullptr) {
      entries_.erase(key);
    } else {
      entries_[key] = {loaded, {}};
    }
  }

  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

}  // namespace remuda
