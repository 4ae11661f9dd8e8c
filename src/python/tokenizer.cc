// A model's tokenizer for Python.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "manager/model_tokenizer.h"
#include "python/arguments.h"
#include "python/pool.h"

namespace remuda::python {
namespace {

// Vocabularies may have tokens that are no UTF-8.
nb::object to_str(std::string_view text) {
  return nb::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

void construct(ModelTokenizer* self, const std::string& model) {
  without_gil([&] { new (self) ModelTokenizer(model); });
}

// A tuple (ids, tokens, tokens of the whole text) for each.
nb::list tokenize(const ModelTokenizer& self, nb::list texts, std::optional<int64_t> max_length, bool special_tokens) {
  const std::vector<std::string> strings = to_texts(texts, "text");
  const std::vector<TokenizedText> tokenized =
      without_gil([&] { return self.tokenize(strings, max_length, special_tokens); });
  nb::list results;
  for (const TokenizedText& text : tokenized) {
    nb::list tokens;
    for (const std::string_view token : text.tokens) tokens.append(to_str(token));
    results.append(nb::make_tuple(text.ids, tokens, text.total_tokens));
  }
  return results;
}

nb::object token(const ModelTokenizer& self, int32_t id) {
  const std::optional<std::string_view> found = self.token(id);
  return found ? to_str(*found) : nb::none();
}

}  // namespace

void bind_tokenizer(nb::module_& module) {
  nb::class_<ModelTokenizer>(module, "Tokenizer", "The tokenizer of a model, without its weights.")
      .def("__init__", construct, nb::arg("model"))
      .def("tokenize", tokenize, nb::arg("texts"), nb::arg("max_length").none(), nb::arg("special_tokens"))
      .def(
          "decode",
          [](const ModelTokenizer& self, const std::vector<int32_t>& ids, bool skip_special_tokens) {
            return to_str(self.decode(ids, skip_special_tokens));
          },
          nb::arg("ids"), nb::arg("skip_special_tokens"))
      .def("token", token, nb::arg("id"))
      .def(
          "id", [](const ModelTokenizer& self, const std::string& token) { return self.id(token); }, nb::arg("token"))
      .def_prop_ro("vocab_size", &ModelTokenizer::vocab_size);
}

}  // namespace remuda::python
