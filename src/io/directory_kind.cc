#include "io/directory_kind.h"

#include <optional>

#include "base/fail.h"
#include "base/files.h"
#include "base/json.h"

namespace remuda::io {
namespace {

constexpr std::string_view kClassifierSuffix = "ForSequenceClassification";

std::string_view describe(DirectoryKind kind) {
  switch (kind) {
    case DirectoryKind::kModel:
      return "a model";
    case DirectoryKind::kSequenceClassifier:
      return "a sequence classifier (a cross-encoder, for example)";
    case DirectoryKind::kCrossEncoder:
      return "a cross-encoder";
    case DirectoryKind::kLateInteraction:
      return "a late-interaction model (ColBERT)";
    case DirectoryKind::kSparseEncoder:
      return "a sparse encoder (SPLADE)";
  }
  return "a model of another kind";
}

std::optional<DirectoryKind> kind_of_model_type(std::string_view model_type) {
  if (model_type == "CrossEncoder") return DirectoryKind::kCrossEncoder;
  if (model_type == "SparseEncoder") return DirectoryKind::kSparseEncoder;
  if (model_type == "MultiVectorEncoder" || model_type == "ColBERT") return DirectoryKind::kLateInteraction;
  return std::nullopt;
}

// By the class of a module: those that only one kind of model has.
std::optional<DirectoryKind> kind_of_module(std::string_view type) {
  if (type.starts_with("pylate.") || type.starts_with("sentence_transformers.multi_vector_encoder.")) {
    return DirectoryKind::kLateInteraction;
  }
  if (type.starts_with("sentence_transformers.sparse_encoder.") || type.ends_with(".SpladePooling") ||
      type.ends_with(".MLMTransformer")) {
    return DirectoryKind::kSparseEncoder;
  }
  if (type.starts_with("sentence_transformers.cross_encoder.")) return DirectoryKind::kCrossEncoder;
  return std::nullopt;
}

// sentence-transformers' own layout, in which config.json's architectures say nothing of the chain.
DirectoryKindFound kind_of_chain(const std::filesystem::path& directory) {
  const auto settings = directory / "config_sentence_transformers.json";
  if (file_exists(settings)) {
    const JsonDocument document = JsonDocument::parse_file(settings);
    const auto model_type = document.root().find("model_type");
    if (model_type && model_type->is_string()) {
      if (const auto kind = kind_of_model_type(model_type->as_string())) {
        return {*kind, model_type->where(), std::string(model_type->as_string())};
      }
    }
  }
  const JsonDocument document = JsonDocument::parse_file(directory / "modules.json");
  for (const JsonValue& module : document.root().items()) {
    const JsonValue type = module.at("type");
    if (const auto kind = kind_of_module(type.as_string())) {
      return {*kind, type.where(), std::string(type.as_string())};
    }
  }
  return {};
}

DirectoryKindFound kind_of_config(const std::filesystem::path& directory) {
  const auto config = directory / "config.json";
  if (!file_exists(config)) return {};
  const JsonDocument document = JsonDocument::parse_file(config);
  const JsonValue root = document.root();
  if (!root.is_object()) return {};
  // What CrossEncoder has written into config.json, in its later and its earlier versions.
  for (const char* field : {"sentence_transformers", "sbert_ce_default_activation_function"}) {
    if (const auto value = root.find(field)) return {DirectoryKind::kCrossEncoder, root.where(), field};
  }
  const auto architectures = root.find("architectures");
  if (!architectures || !architectures->is_array()) return {};
  for (const JsonValue& item : architectures->items()) {
    if (!item.is_string()) continue;
    const std::string_view name = item.as_string();
    if (name.ends_with(kClassifierSuffix)) return {DirectoryKind::kSequenceClassifier, item.where(), std::string(name)};
    if (name.find("ColBERT") != std::string_view::npos) {
      return {DirectoryKind::kLateInteraction, item.where(), std::string(name)};
    }
  }
  return {};
}

}  // namespace

DirectoryKindFound find_directory_kind(const std::filesystem::path& directory) {
  // The ColBERT library's own file.
  if (const auto artifact = directory / "artifact.metadata"; file_exists(artifact)) {
    return {DirectoryKind::kLateInteraction, artifact.string(), "artifact.metadata"};
  }
  return file_exists(directory / "modules.json") ? kind_of_chain(directory) : kind_of_config(directory);
}

void require_model_for(std::string_view purpose, const std::filesystem::path& directory) {
  const DirectoryKindFound found = find_directory_kind(directory);
  if (found.kind == DirectoryKind::kModel) return;
  fail(ErrorCode::kUnsupported,
       "{}: expected a model for {}, found {} (\"{}\"), which can't be used for that; name another model", found.where,
       purpose, describe(found.kind), found.found);
}

}  // namespace remuda::io
