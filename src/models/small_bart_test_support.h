// A small BART of random weights, such as a GPU can compute, documents for it, and the logits of what follows.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "base/scratch_directory.h"
#include "io/bart_config.h"
#include "io/checkpoint.h"
#include "models/bart.h"
#include "models/random_bart_weights.h"

namespace remuda::models {

using Ids = std::vector<int32_t>;

// A vocabulary that is no multiple of what rows of logits are.
inline io::BartConfig small_bart() {
  io::BartConfig config;
  config.vocab_size = 101;
  config.d_model = 64;
  config.encoder_layers = 2;
  config.decoder_layers = 3;
  config.encoder_attention_heads = 2;
  config.decoder_attention_heads = 4;
  config.encoder_ffn_dim = 72;
  config.decoder_ffn_dim = 136;
  config.max_position_embeddings = 90;
  return config;
}

class BartFile {
 public:
  explicit BartFile(const io::BartConfig& config) {
    write_random_weights(scratch_.path(), random_bart_tensors(config), 3, RandomType::kF32, 0.3f);
    checkpoint_ =
        std::make_shared<const io::Checkpoint>(io::Checkpoint::open_file(scratch_.path() / "model.safetensors"));
  }
  const std::shared_ptr<const io::Checkpoint>& checkpoint() const { return checkpoint_; }

 private:
  const ScratchDirectory scratch_;
  std::shared_ptr<const io::Checkpoint> checkpoint_;
};

inline Ids some_ids(size_t count, uint32_t seed, int64_t vocabulary = 101) {
  std::mt19937 random(seed);
  Ids ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(vocabulary));
  return ids;
}

struct Documents {
  explicit Documents(const std::vector<Ids>& documents) {
    for (const Ids& each : documents) {
      ids.insert(ids.end(), each.begin(), each.end());
      offsets.push_back(static_cast<int64_t>(ids.size()));
    }
  }
  Ids ids;
  std::vector<int64_t> offsets = {0};
};

// Of the rows of a step, [vocab_size] each.
using Logits = std::vector<std::vector<float>>;

inline Logits rows_of(MatrixView<const float> matrix) {
  Logits rows;
  for (int64_t row = 0; row < matrix.rows; ++row) rows.emplace_back(matrix.row(row), matrix.row(row) + matrix.cols);
  return rows;
}

inline Logits decode_step(const Bart& bart, const std::vector<DecodeRow>& rows, WorkspaceArena& arena,
                          ComputePool& pool) {
  const int64_t vocabulary = bart.config().vocab_size;
  FloatTensor logits({std::ssize(rows), vocabulary});
  bart.decode_step(rows, {logits.data(), std::ssize(rows), vocabulary}, arena, pool);
  return rows_of({logits.data(), std::ssize(rows), vocabulary});
}

}  // namespace remuda::models
