// One copy of a model's weights in the process, whoever asks for it.
#pragma once

#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace remuda {

// Hands out shared, immutable models by key. It keeps none alive by itself: a model goes with its last user.
//
// Thread-safe. Threads that ask for the same key at once load it once; when loading fails, all who waited get
// the error, and the next to ask tries again.
template <typename Model>
class WeightStore {
 public:
  using Pointer = std::shared_ptr<const Model>;

  // Never destroyed.
  static WeightStore& global() {
    static auto* const store = new WeightStore;
    return *store;
  }

  // The model of this key, from `load` (called without a lock) if nobody has it.
  template <typename Load>
  Pointer get(const std::string& key, Load&& load) {
    std::promise<Pointer> promise;
    {
      std::unique_lock lock(mutex_);
      Entry& entry = entries_[key];
      if (Pointer model = entry.model.lock()) return model;
      if (entry.loading.valid()) {
        const std::shared_future<Pointer> loading = entry.loading;
        lock.unlock();
        return loading.get();
      }
      entry.loading = promise.get_future().share();
    }
    try {
      Pointer model = std::forward<Load>(load)();
      finish(key, model);
      promise.set_value(model);
      return model;
    } catch (...) {
      finish(key, nullptr);
      promise.set_exception(std::current_exception());
      throw;
    }
  }

 private:
  struct Entry {
    std::weak_ptr<const Model> model;
    std::shared_future<Pointer> loading;  // Valid while a thread loads.
  };

  void finish(const std::string& key, const Pointer& model) {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&key](const auto& item) {
      return item.first != key && item.second.model.expired() && !item.second.loading.valid();
    });
    if (model == nullptr) {
      entries_.erase(key);
    } else {
      entries_[key] = {model, {}};
    }
  }

  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

}  // namespace remuda
