// The AVX-512 sources, compiled through SIMD Everywhere, on machines that may lack AVX-512: against the generic
// kernels, which the other tests hold to the definitions.
#define REMUDA_SIMDE
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/rowwise_impl.h"
#include "kernels/cpu/simd_avx512.h"
#include "tensor/tensor.h"

namespace remuda::kernels {
namespace {

std::vector<float> normal_floats(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b, float tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << "element " << i;
}

TEST(Avx512ThroughSimde, Attention) {
  for (const int64_t length : {1, 2, 3, 4, 5, 11, 12, 13, 15, 16, 17, 24, 25, 31, 32, 33, 65}) {
    for (const int64_t head_dim : {1, 3, 4, 7, 15, 16, 17, 31, 32, 33, 64}) {
      const int64_t stride = 3 * head_dim + 1;
      const std::vector<float> qkv = normal_floats(length * stride + 1, 1), bias = normal_floats(2 * length, 2);
      const AlignedBuffer scratch(attention_scratch_floats(length, head_dim) * sizeof(float));
      std::vector<float> expected(static_cast<size_t>(length * head_dim) + 1, -5.0f), found = expected;
      AttentionHead head{.q = qkv.data() + 1,
                         .k = qkv.data() + 1 + head_dim,
                         .v = qkv.data() + 1 + 2 * head_dim,
                         .out = expected.data(),
                         .q_stride = stride,
                         .k_stride = stride,
                         .v_stride = stride,
                         .out_stride = head_dim,
                         .length = length,
                         .head_dim = head_dim,
                         .scale = 0.3f,
                         .bias = bias.data() + length,
                         .scratch = scratch.as<float>()};
      kRowwiseGeneric.attention_head(head);
      head.out = found.data();
      attention_head<Avx512Vec>(head);
      SCOPED_TRACE(length * 1000 + head_dim);
      expect_near(found, expected, 2e-6f);
    }
  }
}

TEST(Avx512ThroughSimde, LayerNorm) {
  for (int64_t cols = 2; cols <= 140; ++cols) {
    const std::vector<float> x = normal_floats(3 * cols, 3), gamma = normal_floats(cols, 4),
                             beta = normal_floats(cols, 5);
    std::vector<float> expected(x.size()), found(x.size());
    LayerNormRows rows{.x = x.data(),
                       .x_stride = cols,
                       .y = expected.data(),
                       .y_stride = cols,
                       .rows = 3,
                       .cols = cols,
                       .gamma = gamma.data(),
                       .beta = beta.data(),
                       .epsilon = 1e-5f};
    kRowwiseGeneric.layer_norm(rows);
    rows.y = found.data();
    layer_norm_rows<Avx512Vec>(rows);
    expect_near(found, expected, 4e-6f);
  }
}

TEST(Avx512ThroughSimde, Gather) {
  const std::vector<float> words = normal_floats(64 * 40, 6);  // As 16-bit numbers of any kind, NaNs included.
  const std::vector<int32_t> ids = {3, 0, 7};
  for (const TableType type : {TableType::kF32, TableType::kF16, TableType::kBF16}) {
    for (int64_t cols = 1; cols <= 40; ++cols) {
      for (const bool add : {false, true}) {
        std::vector<float> expected(static_cast<size_t>(3 * cols) + 1, 1.5f), found = expected;
        GatheredRows rows{.table = reinterpret_cast<const std::byte*>(words.data()) + 1,
                          .table_stride_bytes = cols * (type == TableType::kF32 ? 4 : 2),
                          .type = type,
                          .ids = ids.data(),
                          .y = expected.data(),
                          .y_stride = cols,
                          .rows = 3,
                          .cols = cols,
                          .scale = 3.25f,
                          .add = add};
        kRowwiseGeneric.gather(rows);
        rows.y = found.data();
        gather<Avx512Vec>(rows);
        for (size_t i = 0; i < found.size(); ++i) {
          if (!std::isnan(expected[i])) {
            ASSERT_EQ(found[i], expected[i]) << i;
          } else {
            ASSERT_TRUE(std::isnan(found[i])) << i;
          }
        }
      }
    }
  }
}

TEST(Avx512ThroughSimde, Activations) {
  std::vector<float> x(10'007);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) * 24.0f / 10'007.0f - 12.0f;
  const auto check = [&](auto generic, auto vector) {
    std::vector<float> expected = x, found = x;
    generic(expected.data(), static_cast<int64_t>(x.size()));
    vector(found.data(), static_cast<int64_t>(x.size()));
    expect_near(found, expected, 1.5e-6f);
  };
  check(kRowwiseGeneric.gelu, gelu<Avx512Vec>);
  check(kRowwiseGeneric.gelu_tanh, gelu_tanh<Avx512Vec>);
  check(kRowwiseGeneric.relu, relu<Avx512Vec>);
  check(kRowwiseGeneric.tanh, kernels::tanh<Avx512Vec>);
  check(kRowwiseGeneric.sigmoid, sigmoid<Avx512Vec>);
  check(kRowwiseGeneric.mish, mish<Avx512Vec>);
  const auto quick_gelu = [](auto gated) { return [gated](float* v, int64_t n) { gated(v, n, 1.702f); }; };
  check(quick_gelu(kRowwiseGeneric.gated_sigmoid), quick_gelu(gated_sigmoid<Avx512Vec>));
}

}  // namespace
}  // namespace remuda::kernels
