#include "io/directory_kind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/scratch_directory.h"
#include "remuda/error.h"

namespace remuda::io {
namespace {

using ::testing::HasSubstr;

std::string chain_of(const std::string& type) { return R"([{"idx":0,"name":"0","path":"","type":")" + type + "\"}]"; }

struct KindCase {
  const char* file;
  std::string content;
  DirectoryKind kind;
};

TEST(DirectoryKind, IsWhatConfigAndFilesSay) {
  const KindCase cases[] = {
      {"config.json", R"({"architectures":["BertModel"]})", DirectoryKind::kModel},
      {"config.json", R"({"architectures":["BertForMaskedLM"]})", DirectoryKind::kModel},
      {"config.json", R"({"architectures":null})", DirectoryKind::kModel},
      {"config.json", R"({"model_type":"bert"})", DirectoryKind::kModel},
      {"config.json", R"({"architectures":["BartForConditionalGeneration"]})", DirectoryKind::kModel},
      {"config.json", R"({"architectures":["XLMRobertaForSequenceClassification"]})",
       DirectoryKind::kSequenceClassifier},
      {"config.json", R"({"architectures":["BartForSequenceClassification"]})", DirectoryKind::kSequenceClassifier},
      {"config.json", R"({"architectures":["HF_ColBERT"]})", DirectoryKind::kLateInteraction},
      {"config.json", R"({"architectures":["BertForSequenceClassification"],"sentence_transformers":{}})",
       DirectoryKind::kCrossEncoder},
      {"artifact.metadata", "{}", DirectoryKind::kLateInteraction},
  };
  for (const KindCase& each : cases) {
    const ScratchDirectory directory;
    directory.write(each.file, each.content);
    EXPECT_EQ(find_directory_kind(directory.path()).kind, each.kind) << each.content;
  }
}

TEST(DirectoryKind, IsWhatTheChainOfModulesSays) {
  const std::string transformer = "sentence_transformers.models.Transformer";
  const struct {
    std::string type;
    const char* settings;
    DirectoryKind kind;
  } cases[] = {
      {transformer, "{}", DirectoryKind::kModel},
      {transformer, R"({"model_type":"SentenceTransformer"})", DirectoryKind::kModel},
      {transformer, R"({"model_type":"SparseEncoder"})", DirectoryKind::kSparseEncoder},
      {transformer, R"({"model_type":"CrossEncoder"})", DirectoryKind::kCrossEncoder},
      {transformer, R"({"model_type":"MultiVectorEncoder"})", DirectoryKind::kLateInteraction},
      {transformer, R"({"model_type":"ColBERT"})", DirectoryKind::kLateInteraction},
      {"pylate.models.Dense.Dense", "{}", DirectoryKind::kLateInteraction},
      {"sentence_transformers.sparse_encoder.models.MLMTransformer", "{}", DirectoryKind::kSparseEncoder},
  };
  for (const auto& each : cases) {
    const ScratchDirectory directory;
    directory.write("modules.json", chain_of(each.type));
    directory.write("config_sentence_transformers.json", each.settings);
    // A chain's transformer may come from whatever model.
    directory.write("config.json", R"({"architectures":["BertForSequenceClassification"]})");
    EXPECT_EQ(find_directory_kind(directory.path()).kind, each.kind) << each.type << each.settings;
  }
}

TEST(DirectoryKind, ErrorsSayWhatItIsAndWhere) {
  const ScratchDirectory directory;
  directory.write("config.json", R"({"architectures":["RobertaForSequenceClassification"]})");
  try {
    require_model_for("embeddings", directory.path());
    ADD_FAILURE() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    for (const char* part : {"config.json: architectures[0]", "expected a model for embeddings", "sequence classifier",
                             "RobertaForSequenceClassification"}) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }
  directory.write("config.json", R"({"architectures":["RobertaModel"]})");
  EXPECT_NO_THROW(require_model_for("embeddings", directory.path()));
}

}  // namespace
}  // namespace remuda::io
