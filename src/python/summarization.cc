// SummarizationModelManager for Python.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/costs.h"
#include "python/errors.h"
#include "python/pool.h"
#include "remuda/summarization_model_manager.h"

namespace remuda::python {
namespace {

using SummarizationPool = ManagerPool<SummarizationModelManager>;

SummarizationPool& pool_of(nb::handle self) {
  SummarizationPool& pool = *nb::inst_ptr<SummarizationPool>(self);
  pool.check_process();
  return pool;
}

SummarizeOptions make_options(const nb::dict& generation, std::optional<int64_t> max_input_tokens,
                              std::optional<int64_t> max_batch_tokens, nb::handle timeout, bool partial,
                              nb::object on_text, Interruption& interruption) {
  SummarizeOptions options{.generation = to_generation_options(generation),
                           .max_input_tokens = max_input_tokens,
                           .max_batch_tokens = max_batch_tokens,
                           .timeout = to_timeout(timeout),
                           .partial = partial};
  if (interruption.is_to_be_asked()) options.cancelled = [&interruption] { return interruption(); };
  if (!on_text.is_none()) {
    interruption.stop_on_error();
    // The caller's argument outlives the call; a reference of its own would be dropped without the GIL.
    options.on_text = [&interruption, callback = nb::handle(on_text)](int64_t document, std::string_view text) {
      interruption.call_python([&] { callback(document, nb::str(text.data(), text.size())); });
    };
  }
  options.stop = interruption.stop();
  return options;
}

std::vector<Summary> summarize(nb::handle_t<SummarizationPool> self, nb::list texts, nb::handle instance,
                               const nb::dict& generation, std::optional<int64_t> max_input_tokens,
                               std::optional<int64_t> max_batch_tokens, nb::handle timeout, bool partial,
                               nb::object on_text, nb::handle token) {
  SummarizationPool& pool = pool_of(self);
  const std::vector<std::string> strings = to_texts(texts, "text");
  Interruption interruption(to_token(token));
  SummarizeOptions options =
      make_options(generation, max_input_tokens, max_batch_tokens, timeout, partial, on_text, interruption);
  const GivenInstance given(self, instance);
  auto* const native = static_cast<SummarizationInstance*>(given.get());
  return interruption.run([&] {
    return native != nullptr ? pool.manager().summarize(strings, *native, options)
                             : pool.manager().summarize(strings, options);
  });
}

LongSummary summarize_long(nb::handle_t<SummarizationPool> self, nb::object text, nb::handle instance,
                           const nb::dict& generation, std::optional<int64_t> part_tokens,
                           std::optional<int64_t> overlap_tokens, std::optional<int64_t> max_batch_tokens,
                           nb::handle timeout, nb::object on_text, nb::handle token) {
  SummarizationPool& pool = pool_of(self);
  nb::list one;
  one.append(text);
  const std::vector<std::string> strings = to_texts(one, "text");
  Interruption interruption(to_token(token));
  SummarizeOptions options =
      make_options(generation, std::nullopt, max_batch_tokens, timeout, /*partial=*/false, on_text, interruption);
  const LongOptions how{.part_tokens = part_tokens, .overlap_tokens = overlap_tokens};
  const GivenInstance given(self, instance);
  auto* const native = static_cast<SummarizationInstance*>(given.get());
  return interruption.run([&] {
    return native != nullptr ? pool.manager().summarize_long(strings.front(), *native, options, how)
                             : pool.manager().summarize_long(strings.front(), options, how);
  });
}

nb::object to_python(EarlyStopping value) {
  return value == EarlyStopping::kNever ? nb::cast("never") : nb::cast(value == EarlyStopping::kTrue);
}
template <typename T>
nb::object to_python(const T& value) {
  return nb::cast(value);
}

// What the model's files set, by transformers' names.
nb::dict from_generation_options(const GenerationOptions& options) {
  nb::dict values;
  GenerationOptions::for_each(
      [&values](const char* name, const auto& field) {
        if (field) values[name] = to_python(*field);
      },
      options);
  return values;
}

nb::dict info(nb::handle_t<SummarizationPool> self) {
  const SummarizationModelInfo& info = pool_of(self).manager().info();
  nb::dict values;
  values["name"] = info.name;
  values["directory"] = info.directory;
  values["architecture"] = info.architecture;
  values["window"] = info.window;
  values["max_positions"] = info.max_positions;
  values["encoder_layers"] = info.encoder_layers;
  values["decoder_layers"] = info.decoder_layers;
  values["encoder_heads"] = info.encoder_heads;
  values["decoder_heads"] = info.decoder_heads;
  values["hidden_size"] = info.hidden_size;
  values["encoder_intermediate_size"] = info.encoder_intermediate_size;
  values["decoder_intermediate_size"] = info.decoder_intermediate_size;
  values["vocab_size"] = info.vocab_size;
  values["parameters"] = info.parameters;
  values["file_bytes"] = info.file_bytes;
  values["files"] = info.files;
  values["generation"] = from_generation_options(info.generation);
  return values;
}

nb::dict costs(nb::handle_t<SummarizationPool> self) {
  return costs_of(pool_of(self).manager().info(), [](const MemoryCost& memory) {
    nb::dict values;
    values["shared_weights_bytes"] = memory.shared_weights;
    values["workspace_bytes"] = memory.workspace;
    values["document_bytes"] = memory.document;
    values["sequence_bytes"] = memory.sequence;
    return values;
  });
}

void bind_results(nb::module_& module) {
  nb::class_<GeneratedText>(module, "GeneratedText", "What a search found.")
      .def_ro("text", &GeneratedText::text, "Without special tokens.")
      .def_ro("ids", &GeneratedText::ids, "Token ids as transformers' `generate` returns them, without padding.")
      .def_ro("score", &GeneratedText::score,
              "Beams: transformers' sequences_scores; else the sum of log-probabilities.")
      .def_ro("complete", &GeneratedText::complete, "False where the call ended before the text did.")
      .def("__repr__", [](const GeneratedText& self) { return nb::str("<GeneratedText {!r}>").format(self.text); });
  nb::class_<Summary>(module, "Summary", "A document's summary, and what became of the document.")
      .def_prop_ro(
          "text", [](const Summary& self) { return self.best.text; }, "The summary.")
      .def_ro("best", &Summary::best, "The best sequence.")
      .def_ro("others", &Summary::others, "The rest of num_return_sequences.")
      .def_ro("input_tokens", &Summary::input_tokens, "Tokens that the document has, special tokens included.")
      .def_ro("used_tokens", &Summary::used_tokens, "How many of them the model read.")
      .def_ro("invalid_sequences", &Summary::invalid_sequences, "Malformed UTF-8 in the document; 0 for a str.")
      .def_prop_ro("output_tokens", &Summary::output_tokens, "Tokens of the summary.")
      .def_prop_ro("truncated", &Summary::truncated, "Whether the model read only the document's beginning.")
      .def("__repr__", [](const Summary& self) { return nb::str("<Summary {!r}>").format(self.best.text); });
  nb::class_<DocumentPart>(module, "DocumentPart", "A piece of a long document, as bytes of its UTF-8.")
      .def_ro("begin", &DocumentPart::begin, "The first byte.")
      .def_ro("end", &DocumentPart::end, "The byte after the last.")
      .def_ro("tokens", &DocumentPart::tokens, "Its tokens, special tokens included.")
      .def_ro("summary", &DocumentPart::summary, "The summary of this piece alone.");
  nb::class_<LongSummary>(module, "LongSummary", "The summary of a document of any length.")
      .def_prop_ro(
          "text", [](const LongSummary& self) { return self.summary.best.text; }, "The summary.")
      .def_ro("summary", &LongSummary::summary,
              "The summary with its figures; those of the input are all parts' together.")
      .def_ro("parts", &LongSummary::parts, "What was summarised one by one; together, the whole document.")
      .def_ro("merges", &LongSummary::merges, "How often summaries were summarised again.")
      .def_ro("merged", &LongSummary::merged, "False where the summary is the parts' summaries, one after the other.")
      .def("__repr__",
           [](const LongSummary& self) { return nb::str("<LongSummary {!r}>").format(self.summary.best.text); });
}

}  // namespace

void bind_summarization(nb::module_& module) {
  bind_results(module);
  nb::class_<SummarizationPool, PoolObject>(module, "SummarizationPool", "The native SummarizationModelManager.")
      .def("__init__",
           [](SummarizationPool* self, const nb::dict& values) { new (self) SummarizationPool(to_settings(values)); })
      .def("summarize", summarize, nb::arg("texts"), nb::arg("instance").none(), nb::arg("generation"),
           nb::arg("max_input_tokens").none(), nb::arg("max_batch_tokens").none(), nb::arg("timeout").none(),
           nb::arg("partial"), nb::arg("on_text").none(), nb::arg("token").none())
      .def("summarize_long", summarize_long, nb::arg("text"), nb::arg("instance").none(), nb::arg("generation"),
           nb::arg("part_tokens").none(), nb::arg("overlap_tokens").none(), nb::arg("max_batch_tokens").none(),
           nb::arg("timeout").none(), nb::arg("on_text").none(), nb::arg("token").none())
      .def_prop_ro("info", info)
      .def_prop_ro("costs", costs)
      .def_prop_ro("device", [](nb::handle_t<SummarizationPool> self) { return pool_of(self).manager().get_device(); })
      .def_prop_ro("precision", [](nb::handle_t<SummarizationPool> self) {
        return std::string(to_string(pool_of(self).manager().precision()));
      });
}

}  // namespace remuda::python
