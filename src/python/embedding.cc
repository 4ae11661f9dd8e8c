// EmbeddingModelManager for Python.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "python/errors.h"
#include "python/pool.h"
#include "remuda/embedding_model_manager.h"

namespace remuda::python {
namespace {

using EmbeddingPool = ManagerPool<EmbeddingModelManager>;

EmbeddingPool& pool_of(nb::handle self) {
  EmbeddingPool& pool = *nb::inst_ptr<EmbeddingPool>(self);
  pool.check_process();
  return pool;
}

// A numpy array that owns what it shows.
template <typename Number>
nb::object array_of(std::vector<Number> values, std::initializer_list<size_t> shape) {
  auto* const owned = new std::vector<Number>(std::move(values));
  const nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<Number>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, Number>(owned->data(), shape, owner));
}

// Texts of a long list that are computed in one piece; enough for the engine's batches to be full.
constexpr size_t kChunk = 128;

// A long list, in chunks, on the caller's instance and on those that are free, each with a thread: what one of them
// does on one core alone, the others fill the cores with. A text's embedding doesn't depend on where it is computed.
class ChunkedRun {
 public:
  ChunkedRun(EmbeddingModelManager& manager, std::span<const std::string> texts, const EmbedOptions& options)
      : manager_(manager), texts_(texts), options_(options) {
    result_.dimension = manager.dimension();
    result_.values.resize(texts.size() * static_cast<size_t>(result_.dimension));
    result_.tokens.resize(texts.size());
    result_.used_tokens.resize(texts.size());
  }

  // On this thread, and on at most `helpers` more.
  Embeddings run(EmbeddingInstance& instance, size_t helpers) {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < helpers && (i + 1) * kChunk < texts_.size(); ++i) {
      std::optional<Lease<EmbeddingInstance>> lease = manager_.try_acquire();
      if (!lease) break;
      threads.emplace_back([this, held = std::move(*lease)] {
        EmbedOptions options = options_;
        options.cancelled = [this] { return stopped_.load(); };  // Python is for the calling thread.
        work(*held, options);
      });
    }
    work(instance, options_);
    threads.clear();  // Joins.
    if (error_) std::rethrow_exception(error_);
    return std::move(result_);
  }

 private:
  void work(EmbeddingInstance& instance, const EmbedOptions& options) {
    try {
      for (size_t begin; !stopped_ && (begin = next_.fetch_add(kChunk)) < texts_.size();) {
        const size_t count = std::min(kChunk, texts_.size() - begin);
        store(begin, manager_.embed_texts(texts_.subspan(begin, count), instance, options));
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!stopped_.exchange(true)) error_ = std::current_exception();  // Others end because this one did.
    }
  }

  void store(size_t begin, const Embeddings& part) {
    std::ranges::copy(part.values, result_.values.begin() + static_cast<std::ptrdiff_t>(begin) * result_.dimension);
    std::ranges::copy(part.tokens, result_.tokens.begin() + static_cast<std::ptrdiff_t>(begin));
    std::ranges::copy(part.used_tokens, result_.used_tokens.begin() + static_cast<std::ptrdiff_t>(begin));
    const std::lock_guard lock(mutex_);
    result_.invalid_sequences += part.invalid_sequences;
  }

  EmbeddingModelManager& manager_;
  const std::span<const std::string> texts_;
  const EmbedOptions& options_;
  Embeddings result_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::exception_ptr error_;  // Guarded by mutex_ until the threads have ended.
};

// How many instances may work for a call beside its own: none where the caller chose the instance.
size_t helpers_for(const EmbeddingPool& pool, bool is_own_choice) {
  if (is_own_choice) return 0;
  const size_t cores = std::max(1U, std::thread::hardware_concurrency());
  return std::min(cores, static_cast<size_t>(pool.settings().model_pool_max_instances)) - 1;
}

nb::tuple embed_texts(nb::handle_t<EmbeddingPool> self, nb::list texts, nb::handle instance,
                      std::optional<std::string> prompt_name, std::optional<std::string> prompt,
                      std::optional<int64_t> max_length, int64_t max_batch_tokens, nb::handle timeout,
                      nb::handle token) {
  const std::vector<std::string> strings = to_texts(texts, "text");
  Interruption interruption(to_token(token));
  EmbedOptions options{.prompt_name = std::move(prompt_name),
                       .prompt = std::move(prompt),
                       .max_length = max_length,
                       .max_batch_tokens = max_batch_tokens,
                       .timeout = to_timeout(timeout)};
  if (interruption.is_possible()) options.cancelled = [&interruption] { return interruption(); };
  EmbeddingPool& pool = pool_of(self);
  CallInstance leased(self, instance, options.timeout);
  auto& native = static_cast<EmbeddingInstance&>((*leased).instance());
  const size_t helpers = helpers_for(pool, !instance.is_none());
  Embeddings result = (*leased).use([&] {
    if (helpers == 0 || strings.size() <= kChunk) return pool.manager().embed_texts(strings, native, options);
    return ChunkedRun(pool.manager(), strings, options).run(native, helpers);
  });
  const auto rows = static_cast<size_t>(result.size());
  const auto columns = static_cast<size_t>(pool.manager().dimension());
  return nb::make_tuple(array_of(std::move(result.values), {rows, columns}), array_of(std::move(result.tokens), {rows}),
                        array_of(std::move(result.used_tokens), {rows}), result.invalid_sequences);
}

nb::dict info(nb::handle_t<EmbeddingPool> self) {
  const EmbeddingModelInfo& info = pool_of(self).manager().info();
  nb::dict values;
  values["name"] = info.name;
  values["directory"] = info.directory;
  values["architecture"] = info.architecture;
  values["dimension"] = info.dimension;
  values["max_seq_length"] = info.max_seq_length;
  values["max_positions"] = info.max_positions;
  values["num_layers"] = info.num_layers;
  values["num_heads"] = info.num_heads;
  values["hidden_size"] = info.hidden_size;
  values["intermediate_size"] = info.intermediate_size;
  values["vocab_size"] = info.vocab_size;
  values["parameters"] = info.parameters;
  values["file_bytes"] = info.file_bytes;
  values["files"] = info.files;
  values["modules"] = info.modules;
  values["prompts"] = info.prompts;
  return values;
}

}  // namespace

void bind_embedding(nb::module_& module) {
  nb::class_<EmbeddingPool, PoolObject>(module, "EmbeddingPool", "The native EmbeddingModelManager.")
      .def("__init__",
           [](EmbeddingPool* self, const nb::dict& values) { new (self) EmbeddingPool(to_settings(values)); })
      .def("embed_texts", embed_texts, nb::arg("texts"), nb::arg("instance") = nb::none(),
           nb::arg("prompt_name") = nb::none(), nb::arg("prompt") = nb::none(), nb::arg("max_length") = nb::none(),
           nb::arg("max_batch_tokens") = 512, nb::arg("timeout") = nb::none(), nb::arg("token") = nb::none())
      .def_prop_ro("info", info)
      .def_prop_ro("device", [](nb::handle_t<EmbeddingPool> self) { return pool_of(self).manager().get_device(); })
      .def_prop_ro("precision", [](nb::handle_t<EmbeddingPool> self) {
        return std::string(to_string(pool_of(self).manager().precision()));
      });
}

}  // namespace remuda::python
