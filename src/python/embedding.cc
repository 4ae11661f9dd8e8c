// EmbeddingModelManager for Python.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

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

nb::tuple embed_texts(nb::handle_t<EmbeddingPool> self, nb::list texts, nb::handle instance,
                      std::optional<std::string> prompt_name, std::optional<std::string> prompt,
                      std::optional<int64_t> max_length, int64_t max_batch_tokens, nb::handle timeout, nb::handle token) {
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
  Embeddings result = (*leased).use([&] { return pool.manager().embed_texts(strings, native, options); });
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
      .def("__init__", [](EmbeddingPool* self, const nb::dict& values) {
             new (self) EmbeddingPool(to_settings(values));
           })
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
