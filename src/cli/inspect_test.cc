// What `remuda inspect` prints on machines with GPUs, which are described.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/inspect_model.h"
#include "manager/placement_test_support.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/settings.h"
#include "remuda/summarization_model_manager.h"

namespace remuda::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <typename Show>
std::string shown(Show show, const std::string& model, const std::vector<uint64_t>& gpus, bool json) {
  testing::internal::CaptureStdout();
  show(model, DescribedMachine(gpus).devices(), json);
  return testing::internal::GetCapturedStdout();
}

TEST(Inspect, EveryGpuHasATableOfThePrecisionsThatItHas) {
  for (const auto& [show, model] : {std::pair{&show_embedding_model, Settings{}.embedding_model},
                                    std::pair{&show_summarization_model, Settings{}.summarization_model}}) {
    const std::string text = shown(show, model, {8 * kGiB, 2 * kGiB}, false);
    EXPECT_THAT(text, HasSubstr("\n  cuda:0 (GPU): 8.0 GiB for models\n  precision "));
    EXPECT_THAT(text, HasSubstr("\n  cuda:1 (GPU): 2.0 GiB for models\n  precision "));
    EXPECT_THAT(shown(show, model, {}, false), Not(HasSubstr("fp16")));

    const auto report = nlohmann::json::parse(shown(show, model, {8 * kGiB, 2 * kGiB}, true));
    EXPECT_EQ(report["device"], "cpu");
    EXPECT_TRUE(report["precisions"].contains("int8"));
    ASSERT_EQ(report["gpus"].size(), 2u);
    for (const auto& gpu : report["gpus"]) {
      EXPECT_FALSE(gpu["precisions"].contains("int8"));
      for (const char* precision : {"fp32", "fp16", "bf16"}) {
        const auto& cost = gpu["precisions"][precision];
        const uint64_t left = gpu["memory_limit"].get<uint64_t>() - cost["shared_weights_bytes"].get<uint64_t>();
        EXPECT_EQ(cost["instances_that_fit"], left / cost["workspace_bytes"].get<uint64_t>());
      }
    }
    EXPECT_EQ(report["gpus"][1]["device"], "cuda:1");
    EXPECT_EQ(report["gpus"][1]["memory_limit"], 2 * kGiB);
  }
}

TEST(Inspect, OnAGpuABatchIsOfItsDefaultSize) {
  const auto report = nlohmann::json::parse(shown(show_embedding_model, Settings{}.embedding_model, {kGiB}, true));
  const MemoryCost cost = estimate_memory(inspect_embedding_model(Settings{}.embedding_model), Precision::kFp16,
                                          EmbedOptions().max_batch_tokens, DeviceKind::kGpu);
  EXPECT_EQ(report["gpus"][0]["precisions"]["fp16"]["shared_weights_bytes"], cost.shared_weights);
  EXPECT_EQ(report["gpus"][0]["precisions"]["fp16"]["workspace_bytes"], cost.workspace);
}

TEST(Inspect, BatchesOfSummariesAreOfTheDevicesDefaultSizeAsFarAsItsMemoryGoes) {
  const std::string model = Settings{}.summarization_model;
  const SummarizationModelInfo info = inspect_summarization_model(model);
  const auto on_gpu = [&](int64_t tokens) { return estimate_memory(info, Precision::kFp16, tokens, DeviceKind::kGpu); };
  const uint64_t weights = on_gpu(65536).shared_weights;
  const uint64_t full = on_gpu(65536).workspace;
  const uint64_t least = on_gpu(1).workspace;
  ASSERT_GT(full, 2 * on_gpu(8192).workspace);
  const auto report = nlohmann::json::parse(
      shown(show_summarization_model, model, {kGiB, weights + full / 2, weights + least / 2}, true));
  const auto fp16 = [&report](size_t gpu) { return report["gpus"][gpu]["precisions"]["fp16"]; };
  EXPECT_EQ(report["precisions"]["fp32"]["workspace_bytes"], estimate_memory(info, Precision::kFp32, 8192).workspace);
  EXPECT_EQ(fp16(0)["workspace_bytes"], full);
  EXPECT_EQ(fp16(1)["workspace_bytes"], full / 2);
  EXPECT_EQ(fp16(1)["instances_that_fit"], 1);
  EXPECT_EQ(fp16(2)["workspace_bytes"], least);
  EXPECT_EQ(fp16(2)["instances_that_fit"], 0);
}

}  // namespace
}  // namespace remuda::cli
