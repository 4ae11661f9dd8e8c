// EmbeddingModelManager for Python.
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <system_error>
#include <thread>

#include "manager/placement.h"
#include "python/costs.h"
#include "python/errors.h"
#include "python/pool.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"

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

// Texts of a long list that are one request of the manager's; enough for the engine's batches to be full, of a GPU
// where texts are short, too.
constexpr size_t kPiece = 128;
constexpr size_t kPieceForGpu = 1024;
// What is copied out of Python at a time, so that beside its results a list of any length takes little memory.
constexpr CopyLimits kCopied{.texts = 4096, .bytes = size_t{8} << 20};
// How often a call that waits for its helpers looks whether it is to end.
constexpr std::chrono::milliseconds kLookEvery{10};

// A call's texts, on its instance or, without one, joined with other calls' texts. A long list is computed in pieces,
// by the calling thread and, where there are instances that nobody uses, by a few more: what one of them does on one
// core alone, the others fill the cores with. Used without the GIL.
class EmbeddingCall {
 public:
  EmbeddingCall(EmbeddingModelManager& manager, EmbeddingInstance* instance, EmbedOptions options)
      : manager_(manager), instance_(instance), options_(std::move(options)) {}

  // All there are.
  Embeddings embed(std::span<const std::string> texts) { return embed(texts, options_); }

  // Texts from `begin` of `count`; in any order, each once.
  void embed_part(std::span<const std::string> texts, size_t begin, size_t count) {
    if (result_.tokens.empty()) reserve(count);
    texts_ = texts;
    begin_ = begin;
    piece_ = piece();
    next_ = 0;
    work_with_helpers(instance_ == nullptr ? free_instances() : 1);
    if (error_ != nullptr) std::rethrow_exception(error_);
  }

  Embeddings take_result() { return std::move(result_); }

 private:
  Embeddings embed(std::span<const std::string> texts, const EmbedOptions& options) {
    return instance_ != nullptr ? manager_.embed_texts(texts, *instance_, options)
                                : manager_.embed_texts(texts, options);
  }

  void reserve(size_t count) {
    result_.dimension = manager_.dimension();
    result_.values.resize(count * static_cast<size_t>(result_.dimension));
    result_.tokens.resize(count);
    if (options_.token_vectors) result_.token_values.resize(count);
    result_.used_tokens.resize(count);
  }

  size_t piece() const {
    if (instance_ != nullptr) return kCopied.texts;
    return kind_of(manager_.get_device()) == DeviceKind::kGpu ? kPieceForGpu : kPiece;
  }

  // More would only have smaller batches than the cores can compute at once.
  size_t free_instances() {
    const PoolStats stats = manager_.get_pool_stats();
    return static_cast<size_t>(std::clamp<int64_t>(stats.max_instances - stats.in_use, 1, cores()));
  }

  static int64_t cores() { return std::max(1U, std::thread::hardware_concurrency()); }

  void work_with_helpers(size_t most) {
    const std::exception_ptr cancelled =
        std::make_exception_ptr(Error(ErrorCode::kCancelled, "the call was cancelled"));
    const std::stop_callback on_stop(options_.stop, [this, &cancelled] { stop(cancelled); });
    EmbedOptions others = options_;
    others.timeout = std::nullopt;
    others.cancelled = nullptr;  // Python is for the calling thread.
    others.stop = stopped_.get_token();
    std::vector<std::jthread> threads;
    try {
      for (size_t i = 1; i < most && i * piece_ < texts_.size(); ++i) {
        const std::lock_guard lock(mutex_);
        threads.emplace_back([this, others] { help(others); });
        ++helpers_;
      }
    } catch (const std::system_error&) {  // The process may have no more threads: it goes without.
    }
    work(options_);
    // The time was for the wait until the call's first texts are computed.
    options_.timeout = std::nullopt;
    const auto helped = [this] { return helpers_ == 0; };
    std::unique_lock lock(mutex_);
    if (!options_.cancelled) return done_.wait(lock, helped);
    while (!done_.wait_for(lock, kLookEvery, helped)) {
      lock.unlock();
      if (!stopped_.stop_requested() && options_.cancelled()) stop(cancelled);
      lock.lock();
    }
  }

  void help(const EmbedOptions& options) {
    work(options);
    const std::lock_guard lock(mutex_);
    --helpers_;
    done_.notify_one();
  }

  void work(const EmbedOptions& given) {
    try {
      EmbedOptions options = given;
      for (size_t begin; !stopped_.stop_requested() && (begin = next_.fetch_add(piece_)) < texts_.size();) {
        store(begin, embed(texts_.subspan(begin, std::min(piece_, texts_.size() - begin)), options));
        options.timeout = std::nullopt;
      }
    } catch (...) {
      stop(std::current_exception());
    }
  }

  void stop(std::exception_ptr error) {
    {
      const std::lock_guard lock(mutex_);
      if (error_ == nullptr) error_ = std::move(error);  // Others end because this one did.
    }
    stopped_.request_stop();
  }

  void store(size_t begin, Embeddings piece) {
    const auto row = static_cast<std::ptrdiff_t>(begin_ + begin);
    std::ranges::copy(piece.values, result_.values.begin() + row * result_.dimension);
    std::ranges::copy(piece.tokens, result_.tokens.begin() + row);
    std::ranges::copy(piece.used_tokens, result_.used_tokens.begin() + row);
    if (options_.token_vectors) std::ranges::move(piece.token_values, result_.token_values.begin() + row);
    const std::lock_guard lock(mutex_);
    result_.invalid_sequences += piece.invalid_sequences;
    result_.token_dimension = std::max(result_.token_dimension, piece.token_dimension);
  }

  EmbeddingModelManager& manager_;
  EmbeddingInstance* const instance_;
  EmbedOptions options_;
  Embeddings result_;
  // The texts that are in work, and which row the first one's is.
  std::span<const std::string> texts_;
  size_t begin_ = 0;
  size_t piece_ = kPiece;
  std::atomic<size_t> next_{0};
  std::stop_source stopped_;
  std::mutex mutex_;
  std::condition_variable done_;
  size_t helpers_ = 0;        // Guarded by mutex_.
  std::exception_ptr error_;  // Guarded by mutex_ while there are helpers.
};

Embeddings embed(EmbeddingCall& call, const nb::list& texts, Interruption& interruption) {
  const size_t count = texts.size();
  std::vector<std::string> strings = to_texts(texts, "text", 0, kCopied);
  if (strings.size() == count && count <= kPiece) return interruption.run([&] { return call.embed(strings); });
  check_texts(texts, "text");  // All, before any is computed.
  for (size_t begin = 0;;) {
    strings.resize(std::min(strings.size(), count - begin));  // Another thread may have changed the list.
    interruption.run([&] { call.embed_part(strings, begin, count); });
    begin += strings.size();
    if (begin == count || strings.empty()) return call.take_result();
    strings = to_texts(texts, "text", begin, kCopied);
  }
}

nb::tuple embed_texts(nb::handle_t<EmbeddingPool> self, nb::list texts, nb::handle instance,
                      std::optional<std::string> prompt_name, std::optional<std::string> prompt,
                      std::optional<int64_t> max_length, std::optional<int64_t> max_batch_tokens, nb::handle timeout,
                      nb::handle token, bool token_vectors) {
  EmbeddingPool& pool = pool_of(self);
  Interruption interruption(to_token(token));
  EmbedOptions options{.prompt_name = std::move(prompt_name),
                       .prompt = std::move(prompt),
                       .max_length = max_length,
                       .max_batch_tokens = max_batch_tokens,
                       .token_vectors = token_vectors,
                       .timeout = to_timeout(timeout)};
  options.stop = interruption.stop();
  if (interruption.is_to_be_asked()) options.cancelled = [&interruption] { return interruption(); };
  const GivenInstance given(self, instance);
  EmbeddingCall call(pool.manager(), static_cast<EmbeddingInstance*>(given.get()), std::move(options));
  Embeddings result = embed(call, texts, interruption);
  const auto rows = static_cast<size_t>(result.size());
  const auto columns = static_cast<size_t>(pool.manager().dimension());
  nb::list of_tokens;
  for (std::vector<float>& vectors : result.token_values) {
    const auto width = static_cast<size_t>(result.token_dimension);
    const size_t count = width == 0 ? 0 : vectors.size() / width;
    of_tokens.append(array_of(std::move(vectors), {count, width}));
  }
  return nb::make_tuple(array_of(std::move(result.values), {rows, columns}), array_of(std::move(result.tokens), {rows}),
                        array_of(std::move(result.used_tokens), {rows}), result.invalid_sequences, of_tokens);
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
  values["similarity"] = info.similarity;
  values["prompt_texts"] = info.prompt_texts;
  values["default_prompt_name"] = nb::none();
  if (!info.default_prompt_name.empty()) values["default_prompt_name"] = info.default_prompt_name;
  values["longest_text"] = info.longest_text;
  return values;
}

nb::dict costs(nb::handle_t<EmbeddingPool> self) {
  return costs_of(pool_of(self).manager().info(), [](const MemoryCost& memory) {
    nb::dict values;
    values["shared_weights_bytes"] = memory.shared_weights;
    values["workspace_bytes"] = memory.workspace;
    return values;
  });
}

}  // namespace

void bind_embedding(nb::module_& module) {
  nb::class_<EmbeddingPool, PoolObject>(module, "EmbeddingPool", "The native EmbeddingModelManager.")
      .def("__init__",
           [](EmbeddingPool* self, const nb::dict& values) { new (self) EmbeddingPool(to_settings(values)); })
      .def("embed_texts", embed_texts, nb::arg("texts"), nb::arg("instance") = nb::none(),
           nb::arg("prompt_name") = nb::none(), nb::arg("prompt") = nb::none(), nb::arg("max_length") = nb::none(),
           nb::arg("max_batch_tokens") = nb::none(), nb::arg("timeout") = nb::none(), nb::arg("token") = nb::none(),
           nb::arg("token_vectors") = false)
      .def_prop_ro("info", info)
      .def_prop_ro("costs", costs)
      .def_prop_ro("device", [](nb::handle_t<EmbeddingPool> self) { return pool_of(self).manager().get_device(); })
      .def_prop_ro("precision", [](nb::handle_t<EmbeddingPool> self) {
        return std::string(to_string(pool_of(self).manager().precision()));
      });
}

}  // namespace remuda::python
