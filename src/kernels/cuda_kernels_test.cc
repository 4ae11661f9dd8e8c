// The GPU's kernels, run on the processor: what is left to a GPU is its own instructions.
#include <gtest/gtest.h>

#include "kernels/cuda/testing/attention_cases.h"
#include "kernels/cuda/testing/decode_cases.h"
#include "kernels/cuda/testing/host_runner.h"
#include "kernels/cuda/testing/ranking_cases.h"

namespace remuda::kernels::cuda {
namespace {

constexpr HostSchedule kSchedules[] = {
    {HostSchedule::Order::kForward, false},
    {HostSchedule::Order::kBackward, true},
    {HostSchedule::Order::kShuffled, false},
    {HostSchedule::Order::kShuffled, true},
};

void expect_good(const CaseReport& report) {
  EXPECT_GT(report.compared, 0);
  for (const std::string& problem : report.problems) ADD_FAILURE() << problem;
}

template <class Element>
class CudaKernels : public testing::Test {
 protected:
  ~CudaKernels() override { expect_good(report_); }

  HostRunner runner_;
  CaseReport report_;
};
using Elements = testing::Types<float, Float16, BFloat16>;

class ElementNames {
 public:
  template <class Element>
  static std::string GetName(int) {
    return element_name<Element>();
  }
};
TYPED_TEST_SUITE(CudaKernels, Elements, ElementNames);

TYPED_TEST(CudaKernels, LayerNormIsItsDefinition) {
  for (const int columns : {4, 8, 100, 128, 384, 512, 516, 768, 1024, 1028, 4096}) {
    for (const int64_t rows : {1, 4, 7}) {
      layer_norm_case<TypeParam>(this->runner_, this->report_, rows, columns, false);
      layer_norm_case<TypeParam>(this->runner_, this->report_, rows, columns, true);
    }
  }
}

TYPED_TEST(CudaKernels, EmbedIsItsDefinition) {
  for (const int columns : {8, 384, 768, 1024, 1032}) {
    for (const int64_t rows : {1, 4, 9}) embed_case<TypeParam>(this->runner_, this->report_, rows, columns);
  }
}

TYPED_TEST(CudaKernels, ActivationsAreTheirDefinitions) {
  for (const Activation activation :
       {Activation::kNone, Activation::kGelu, Activation::kGeluTanh, Activation::kRelu, Activation::kTanh}) {
    activate_case<TypeParam>(this->runner_, this->report_, activation, 1, 8);
    activate_case<TypeParam>(this->runner_, this->report_, activation, 5, 1536);
  }
}

TYPED_TEST(CudaKernels, PoolingIsItsDefinition) {
  for (const PoolingMode mode : {PoolingMode::kCls, PoolingMode::kMax, PoolingMode::kMean, PoolingMode::kMeanSqrtLen,
                                 PoolingMode::kWeightedMean, PoolingMode::kLastToken}) {
    for (const int columns : {1, 127, 128, 384}) {
      pool_case<TypeParam>(this->runner_, this->report_, mode, {1, 2, 3, 1, 40, 17, 2, 5}, columns);
    }
  }
}

TYPED_TEST(CudaKernels, ConvertRoundsToNearest) {
  convert_case<float, TypeParam>(this->runner_, this->report_);
  convert_case<Float16, TypeParam>(this->runner_, this->report_);
  convert_case<BFloat16, TypeParam>(this->runner_, this->report_);
}

TYPED_TEST(CudaKernels, AttentionIsItsDefinition) {
  // 12 is for no tensor core.
  for (const int head_dim : {8, 12, 32, 40, 64, 96, 128}) {
    for (const bool biased : {false, true}) {
      attention_case<TypeParam>(this->runner_, this->report_, {1, 2, 15, 16, 17, 33, 65}, head_dim, biased);
    }
  }
}

TYPED_TEST(CudaKernels, AttentionOfManyTilesIsItsDefinition) {
  attention_case<TypeParam>(this->runner_, this->report_, {64, 63, 128, 129, 200}, 32, true);
}

TYPED_TEST(CudaKernels, AttentionOfASequenceDependsOnNothingElse) {
  attention_alone_case<TypeParam>(this->runner_, this->report_, 32, true);
  attention_alone_case<TypeParam>(this->runner_, this->report_, 64, false);
}

TYPED_TEST(CudaKernels, ANanStaysInItsSequenceAndHead) {
  attention_nan_case<TypeParam>(this->runner_, this->report_, 16);
}

TYPED_TEST(CudaKernels, AttentionToSharedKeysIsItsDefinition) {
  for (const int head_dim : {12, 32, 64}) {
    for (const bool apart : {false, true}) shared_keys_case<TypeParam>(this->runner_, this->report_, head_dim, apart);
  }
}

// A race shows as a result that depends on who comes first.
TYPED_TEST(CudaKernels, AttentionIsTheSameInAnyOrderOfThreads) {
  const AttentionBatch<TypeParam> batch({70, 1, 17, 150}, 1, 64, 150);
  std::vector<TypeParam> expected;
  for (const HostSchedule schedule : kSchedules) {
    HostRunner runner(schedule);
    const std::vector<TypeParam> found = batch.run(runner, this->report_, "attention");
    if (expected.empty()) expected = found;
    ++this->report_.compared;
    EXPECT_TRUE(same_bytes<TypeParam>(found, expected));
  }
}

TEST(CudaPlainAttention, IsItsDefinitionForAnyHead) {
  HostRunner runner;
  CaseReport report;
  for (const int head_dim : {1, 7, 33, 63, 65, 129, 256}) {
    attention_case<float>(runner, report, {1, 5, 16, 33}, head_dim, true);
  }
  expect_good(report);
}

TYPED_TEST(CudaKernels, AttentionToACacheIsItsDefinition) {
  for (const int head_dim : {8, 12, 64, 128}) cached_attention_case<TypeParam>(this->runner_, this->report_, head_dim);
}

TEST(CudaRanking, IsItsDefinition) {
  HostRunner runner;
  CaseReport report;
  ranking_cases(runner, report, false);
  expect_good(report);
}

TEST(CudaRanking, IsTheSameInAnyOrderOfThreads) {
  for (const HostSchedule schedule : kSchedules) {
    HostRunner runner(schedule);
    CaseReport report;
    ranking_case(runner, report, "any", ruled_rows(700, 6), 5);
    ranking_case(runner, report, "crowded", crowded_rows(33), 33);
    expect_good(report);
  }
}

TEST(CudaNormalize, IsItsDefinition) {
  HostRunner runner;
  CaseReport report;
  for (const int columns : {1, 31, 32, 33, 384, 1024}) normalize_case(runner, report, 5, columns);
  expect_good(report);
}

}  // namespace
}  // namespace remuda::kernels::cuda
