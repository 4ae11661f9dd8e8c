// Attention of a decoder's step against its definition, in doubles, with every instruction set.
#include "kernels/decode_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <tuple>
#include <vector>

#include "tensor/float16.h"

namespace remuda::kernels {
namespace {

std::vector<float> normal_floats(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

// What a stored float reads as.
float as_stored(float value, StoredAs stored) {
  return stored == StoredAs::kFp32 ? value : bf16_to_float(float_to_bf16(value));
}

// keys, values: [length][head_dim] of one head.
std::vector<double> attend_exactly(const float* q, const std::vector<const float*>& keys,
                                   const std::vector<const float*>& values, int64_t head_dim, float scale,
                                   StoredAs stored) {
  std::vector<double> weights;
  double largest = -1e300, sum = 0;
  for (const float* key : keys) {
    double score = 0;
    for (int64_t i = 0; i < head_dim; ++i) score += static_cast<double>(q[i]) * as_stored(key[i], stored);
    weights.push_back(score * scale);
    largest = std::max(largest, weights.back());
  }
  for (double& weight : weights) sum += weight = std::exp(weight - largest);
  std::vector<double> out(static_cast<size_t>(head_dim));
  for (size_t s = 0; s < values.size(); ++s) {
    for (int64_t i = 0; i < head_dim; ++i) out[i] += weights[s] / sum * as_stored(values[s][i], stored);
  }
  return out;
}

class DecodeAttention : public ::testing::TestWithParam<std::tuple<Isa, StoredAs>> {
 protected:
  Isa isa() const { return std::get<0>(GetParam()); }
  StoredAs stored() const { return std::get<1>(GetParam()); }

  // Packs into memory that is not initialised to anything useful.
  PackedKeysValues pack(MatrixView<const float> k, MatrixView<const float> v, AttentionShape shape) {
    memory_.emplace_back(PackedKeysValues::bytes_for(k.rows, shape, stored()));
    std::memset(memory_.back().data(), 0xff, memory_.back().size());
    return pack_keys_values(k, v, shape, stored(), memory_.back().data(), pool_, isa());
  }

  ComputePool pool_{2};
  std::vector<AlignedBuffer> memory_;
};

TEST_P(DecodeAttention, PackedIsItsDefinitionForEveryShape) {
  constexpr float kScale = 0.3f;
  for (const int64_t head_dim : {1, 4, 9, 16, 33, 40, 64, 80}) {
    for (const int64_t length : {1, 3, 16, 17, 31, 64, 130}) {
      for (const int64_t rows : {1, 2, 3, 4, 5, 12, 13, 17}) {
        const AttentionShape shape{2, head_dim};
        const int64_t cols = 2 * head_dim;
        const auto q = normal_floats(rows * cols, 1);
        const auto kv = normal_floats(length * 2 * cols, 2);
        const MatrixView<const float> k(kv.data(), length, cols, 2 * cols), v(kv.data() + cols, length, cols, 2 * cols);
        const PackedKeysValues packed = pack(k, v, shape);
        std::vector<float> out(static_cast<size_t>(rows * cols + 1), 7.0f);
        const PackedQueries block{0, rows, &packed};
        attend_packed({q.data(), rows, cols}, {&block, 1}, kScale, {out.data(), rows, cols}, pool_);
        ASSERT_EQ(out.back(), 7.0f) << "wrote past the end";
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t head = 0; head < 2; ++head) {
            std::vector<const float*> keys, values;
            for (int64_t s = 0; s < length; ++s) {
              keys.push_back(k.row(s) + head * head_dim);
              values.push_back(v.row(s) + head * head_dim);
            }
            const int64_t at = r * cols + head * head_dim;
            const auto wanted = attend_exactly(q.data() + at, keys, values, head_dim, kScale, stored());
            for (int64_t i = 0; i < head_dim; ++i) {
              ASSERT_NEAR(out[at + i], wanted[i], 3e-6) << head_dim << ", " << length << ", " << rows << ", row " << r;
            }
          }
        }
        memory_.clear();
      }
    }
  }
}

TEST_P(DecodeAttention, PackedRowsDependOnTheirOwnBlockAlone) {
  constexpr AttentionShape kHeads{3, 20};
  constexpr int64_t kCols = 60;
  const std::vector<int64_t> lengths = {5, 70, 1, 33}, rows = {4, 1, 7, 13};
  std::vector<std::vector<float>> kvs;
  std::vector<PackedKeysValues> packed;
  std::vector<PackedQueries> blocks;
  int64_t all_rows = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    kvs.push_back(normal_floats(lengths[i] * 2 * kCols, static_cast<unsigned>(i)));
    packed.push_back(pack({kvs[i].data(), lengths[i], kCols, 2 * kCols},
                          {kvs[i].data() + kCols, lengths[i], kCols, 2 * kCols}, kHeads));
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    blocks.push_back({all_rows, rows[i], &packed[i]});
    all_rows += rows[i];
  }
  const auto q = normal_floats(all_rows * kCols, 9);
  std::vector<float> together(q.size()), alone(q.size());
  attend_packed({q.data(), all_rows, kCols}, blocks, 0.2f, {together.data(), all_rows, kCols}, pool_);
  ComputePool one(1);
  for (const PackedQueries& block : blocks) {
    for (int64_t r = block.first_row; r < block.first_row + block.rows; ++r) {
      const PackedQueries single{r, 1, block.keys_values};
      attend_packed({q.data(), all_rows, kCols}, {&single, 1}, 0.2f, {alone.data(), all_rows, kCols}, one);
    }
  }
  EXPECT_EQ(together, alone);
}

TEST_P(DecodeAttention, CachedIsItsDefinitionForEveryShape) {
  constexpr float kScale = 0.4f;
  constexpr int64_t kLogRows = 300;
  for (const int64_t head_dim : {1, 4, 9, 16, 33, 40, 64, 80, 130}) {
    const AttentionShape shape{2, head_dim};
    const int64_t cols = 2 * head_dim;
    const auto keys = normal_floats(kLogRows * cols, 1), values = normal_floats(kLogRows * cols, 2);
    AlignedBuffer key_log(keys.size() * size_of(stored())), value_log(keys.size() * size_of(stored()));
    store_as(stored(), keys.data(), kLogRows * cols, key_log.data(), isa());
    store_as(stored(), values.data(), kLogRows * cols, value_log.data(), isa());
    const std::vector<int64_t> lengths = {1, 2, 15, 16, 17, 100};
    std::vector<std::vector<int32_t>> tables;
    std::vector<CachedSequence> sequences;
    std::mt19937 random(3);
    for (const int64_t length : lengths) {
      std::vector<int32_t>& table = tables.emplace_back(static_cast<size_t>(length));
      for (int32_t& row : table) row = static_cast<int32_t>(random() % kLogRows);
      sequences.push_back({key_log.data(), value_log.data(), table.data(), length});
    }
    const auto rows = static_cast<int64_t>(lengths.size());
    const auto q = normal_floats(rows * cols, 4);
    std::vector<float> out(static_cast<size_t>(rows * cols + 1), 7.0f);
    attend_cached({q.data(), rows, cols}, sequences, shape, stored(), kScale, {out.data(), rows, cols}, pool_, isa());
    ASSERT_EQ(out.back(), 7.0f) << "wrote past the end";
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t head = 0; head < 2; ++head) {
        std::vector<const float*> own_keys, own_values;
        for (const int32_t row : tables[static_cast<size_t>(r)]) {
          own_keys.push_back(keys.data() + row * cols + head * head_dim);
          own_values.push_back(values.data() + row * cols + head * head_dim);
        }
        const int64_t at = r * cols + head * head_dim;
        const auto wanted = attend_exactly(q.data() + at, own_keys, own_values, head_dim, kScale, stored());
        for (int64_t i = 0; i < head_dim; ++i) {
          ASSERT_NEAR(out[at + i], wanted[i], 3e-6) << head_dim << ", row " << r << ", head " << head;
        }
      }
    }
  }
}

TEST(DecodeAttentionErrors, ShapesThatDoNotFitAreRefused) {
  ComputePool pool(1);
  std::vector<float> q(12), out(12);
  EXPECT_ANY_THROW(attend_cached({q.data(), 2, 6}, {}, {2, 3}, StoredAs::kFp32, 1.0f, {out.data(), 2, 6}, pool));
  EXPECT_ANY_THROW(pack_keys_values({q.data(), 2, 6}, {q.data(), 1, 6}, {2, 3}, StoredAs::kFp32, nullptr, pool));
}

INSTANTIATE_TEST_SUITE_P(Isas, DecodeAttention,
                         ::testing::Combine(::testing::ValuesIn(available_isas()),
                                            ::testing::Values(StoredAs::kFp32, StoredAs::kBf16)),
                         [](const auto& test) {
                           return std::string(to_string(std::get<0>(test.param))) +
                                  (std::get<1>(test.param) == StoredAs::kFp32 ? "_fp32" : "_bf16");
                         });

}  // namespace
}  // namespace remuda::kernels
