#include "remuda/embedding_model_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>

#include "base/log.h"
#include "base/scratch_directory.h"
#include "hub/resolve.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

TEST(EmbeddingModelManager, SentencesOfLikeMeaningAreNear) {
  EmbeddingModelManager manager(Settings{});
  const std::vector<std::string> texts = {"A man is eating food.", "A man eats something.", "The stock market fell."};
  const Embeddings found = manager.embed_texts(texts);
  EXPECT_EQ(found.dimension, 384);
  for (int64_t i = 0; i < found.size(); ++i) EXPECT_NEAR(dot(found.row(i), found.row(i)), 1.0, 1e-5);
  EXPECT_GT(dot(found.row(0), found.row(1)), 0.7);
  EXPECT_LT(dot(found.row(0), found.row(2)), 0.3);
}

TEST(EmbeddingModelManager, ALeasedInstanceAndTheManagerAgree) {
  EmbeddingModelManager manager(Settings{});
  const Lease<EmbeddingInstance> lease = manager.acquire({.timeout = 10s});
  EXPECT_EQ(manager.embed_text("The herd waits at dawn.", *lease), manager.embed_text("The herd waits at dawn."));
  EXPECT_EQ(manager.get_pool_stats().in_use, 1);
  EXPECT_EQ(lease->metadata().model_type, "embedding");
}

TEST(EmbeddingModelManager, InstancesShareTheWeights) {
  EmbeddingModelManager manager(Settings{});
  EmbeddingModelManager other(Settings{});
  const auto a = manager.acquire();
  const auto b = manager.acquire();
  const auto c = other.acquire();
  EXPECT_EQ(&a->model(), &b->model());
  EXPECT_EQ(&a->model(), &c->model());
}

TEST(EmbeddingModelManager, ALeaseOutlivesItsManager) {
  auto manager = std::make_unique<EmbeddingModelManager>(Settings{});
  const std::vector<float> before = manager->embed_text("The herd waits.");
  Lease<EmbeddingInstance> lease = manager->acquire();
  manager.reset();
  EXPECT_EQ(lease->metadata().model_type, "embedding");
  EmbeddingModelManager other(Settings{});
  EXPECT_EQ(other.embed_text("The herd waits.", *lease), before);
  lease.release();
  EXPECT_EQ(other.get_pool_stats().total, 0);
}

TEST(EmbeddingModelManager, SaysWhatWasCut) {
  EmbeddingModelManager manager(Settings{});
  std::string text;
  for (int i = 0; i < 400; ++i) text += "word ";
  const std::vector<std::string> texts = {text, "short"};
  const Embeddings found = manager.embed_texts(texts);
  EXPECT_EQ(found.tokens, (std::vector<int64_t>{402, 3}));
  EXPECT_EQ(found.used_tokens, (std::vector<int64_t>{256, 3}));
  EXPECT_TRUE(found.truncated(0));
  EXPECT_FALSE(found.truncated(1));
  EXPECT_EQ(manager.embed_texts(texts, {.max_length = 512}).used_tokens[0], 402);
}

TEST(EmbeddingModelManager, RefusesALengthThatTheModelHasNoPositionsFor) {
  EmbeddingModelManager manager(Settings{});
  for (const int64_t length : {-1, 0, 2, 513}) {
    EXPECT_THAT([&] { manager.embed_text("a", EmbedOptions{.max_length = length}); },
                testing::ThrowsMessage<Error>(HasSubstr("max_length")));
  }
}

TEST(EmbeddingModelManager, RefusesABatchOfNoTokens) {
  EmbeddingModelManager manager(Settings{});
  const auto lease = manager.acquire();
  for (const int64_t tokens : {-5, 0}) {
    const EmbedOptions options{.max_batch_tokens = tokens};
    EXPECT_THAT([&] { manager.embed_text("a", options); },
                testing::ThrowsMessage<Error>(HasSubstr("max_batch_tokens: expected at least 1")));
    EXPECT_THROW(manager.embed_text("a", *lease, options), Error);
  }
  EXPECT_EQ(manager.embed_text("a", EmbedOptions{.max_batch_tokens = 1}), manager.embed_text("a"));
}

TEST(EmbeddingModelManager, CancelledWorkStopsAndGivesTheInstanceBack) {
  EmbeddingModelManager manager(Settings{});
  const std::vector<std::string> texts(50, "A sentence of a few words.");
  int asked = 0;
  EmbedOptions options;
  options.max_batch_tokens = 16;
  options.cancelled = [&asked] { return ++asked > 3; };
  EXPECT_THAT([&] { manager.embed_texts(texts, options); }, testing::ThrowsMessage<Error>(HasSubstr("cancelled")));
  EXPECT_EQ(asked, 4);
  EXPECT_EQ(manager.get_pool_stats().in_use, 0);
}

TEST(EmbeddingModelManager, UnknownPromptNamesTheKnownOnes) {
  EmbeddingModelManager manager(Settings{});
  EXPECT_THAT([&] { manager.embed_text("a", EmbedOptions{.prompt_name = "question"}); },
              testing::ThrowsMessage<Error>(HasSubstr("question")));
}

TEST(EmbeddingModelManager, APromptStandsBeforeEveryText) {
  EmbeddingModelManager manager(Settings{});
  EXPECT_EQ(manager.embed_text("dawn", EmbedOptions{.prompt = "The herd at "}), manager.embed_text("The herd at dawn"));
}

TEST(EmbeddingModelManager, NoTextsGiveNoVectors) {
  EmbeddingModelManager manager(Settings{});
  const Embeddings found = manager.embed_texts(std::vector<std::string>{});
  EXPECT_EQ(found.size(), 0);
  EXPECT_EQ(found.dimension, 384);
}

TEST(EmbeddingModelManager, AMemoryLimitBelowTheCostIsRefusedWithTheFigures) {
  Settings settings;
  settings.memory_limit = MemoryLimit::parse("10MiB", "memory_limit");
  EmbeddingModelManager manager(settings);
  EXPECT_THAT([&] { manager.acquire(); }, testing::ThrowsMessage<OutOfMemory>(HasSubstr("10485760 bytes")));
}

TEST(EmbeddingModelManager, AGpuThatIsNotThereIsAnError) {
  Settings settings;
  settings.masx_force_gpu = true;
  settings.masx_force_cpu = false;
  EXPECT_THROW(EmbeddingModelManager{settings}, Error);
}

// A copy of the default model's files, so that a test can change it.
class CopiedModel {
 public:
  CopiedModel() {
    std::filesystem::copy(hub::resolve_model(hub::kDefaultEmbeddingModel), path_,
                          std::filesystem::copy_options::recursive);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  const ScratchDirectory scratch_;
  const std::filesystem::path path_ = scratch_.path() / "model";
};

TEST(EmbeddingModelManager, ADirectoryThatChangesNeverMixesOldAndNew) {
  const CopiedModel copy;
  Settings settings;
  settings.embedding_model = copy.path().string();
  EmbeddingModelManager manager(settings);
  std::optional<Lease<EmbeddingInstance>> lease = manager.acquire();
  const std::vector<float> before = manager.embed_text("The herd waits.", **lease);

  // Replaced as package managers do it: the new file takes the old one's name.
  const auto weights = copy.path() / "model.safetensors";
  std::filesystem::rename(weights, copy.path() / "old");
  std::ofstream(weights) << "not weights";
  std::filesystem::remove(copy.path() / "old");

  EXPECT_EQ(manager.embed_text("The herd waits.", **lease), before);
  const auto second = manager.acquire();  // Shares the weights that are loaded.
  EXPECT_EQ(manager.embed_text("The herd waits.", *second), before);
  lease.reset();
}

TEST(EmbeddingModelManager, FilesThatChangedBeforeLoadingAreRefused) {
  const CopiedModel copy;
  Settings settings;
  settings.embedding_model = copy.path().string();
  EmbeddingModelManager manager(settings);
  std::ofstream(copy.path() / "config.json", std::ios::app) << " ";
  EXPECT_THAT([&] { manager.acquire(); }, testing::ThrowsMessage<Error>(HasSubstr("changed")));
}

TEST(EmbeddingModelManager, TheCacheOfPackedWeightsChangesNoAnswer) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kInt8}) {
    const ScratchDirectory scratch;
    Settings settings;
    settings.precision = precision;
    settings.cache_dir = "/dev/null/no-directory";
    const auto embed = [&settings] { return EmbeddingModelManager(settings).embed_text("The herd waits at dawn."); };
    log::set_level(log::Level::kOff);
    const std::vector<float> wanted = embed();
    log::set_level(log::Level::kWarning);
    settings.cache_dir = scratch.path();
    EXPECT_EQ(embed(), wanted);  // Makes the file.
    const std::filesystem::directory_iterator file(scratch.path() / "weights");
    ASSERT_NE(file, std::filesystem::directory_iterator());
    const auto made = file->last_write_time();
    EXPECT_EQ(embed(), wanted);  // Reads it.
    EXPECT_EQ(std::filesystem::last_write_time(file->path()), made);
  }
}

}  // namespace
}  // namespace remuda
