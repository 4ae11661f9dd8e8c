// BARTs of random weights, on the CPU and on a GPU in whose place the processor is, and documents that are decoded by
// both.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "device/cuda/cuda_error.h"
#include "kernels/cuda/testing/device_memory.h"
#include "models/cuda/bart.h"
#include "models/gpu_bart_weights.h"
#include "models/small_bart_test_support.h"
#include "nn/kv_cache.h"

namespace remuda::models {

// The BART of the GPU's library.
class BartOnHost {
 public:
  struct Document {
    Document(uint64_t bytes, int64_t tokens, const remuda::cuda::HostLimits& far)
        : memory(bytes),
          encoder_tokens(tokens),
          limits(far),
          numbers(static_cast<size_t>(2 * far.max_rows * far.max_positions)),
          tables(far.max_rows, far.max_positions, numbers.data(), numbers.data() + far.max_rows * far.max_positions) {}

    remuda::cuda::DeviceMemory memory;
    int64_t encoder_tokens;
    remuda::cuda::HostLimits limits;
    Ids numbers;
    nn::KvTables tables;
  };

  // The next tokens of a document's sequences, and which of the step before each continues.
  struct Rows {
    Document* document;
    Ids tokens;
    Ids parents;
  };

  struct Ranked {
    std::vector<float> scores;
    Ids best;
  };

  BartOnHost(const io::BartConfig& config, const BartFile& file, Precision precision) : config_(config) {
    const GpuBartWeights weights(config, *file.checkpoint(), precision);
    const models::cuda::ModelBytes bytes = models::cuda::bart_bytes(weights.host());
    weights_.emplace(bytes.weights);
    const remuda::cuda::DeviceMemory loading(bytes.loading);
    bart_ = models::cuda::load_bart(stream_, weights.host(), weights_->data(), loading.data());
    decoder_ = bart_->make_decoder(stream_);
  }

  const remuda::cuda::Bart& bart() const { return *bart_; }
  remuda::cuda::BartDecoder& decoder() const { return *decoder_; }

  std::vector<std::unique_ptr<Document>> encode(const std::vector<Ids>& documents,
                                                const remuda::cuda::HostLimits& limits) const {
    const Documents laid(documents);
    std::vector<std::unique_ptr<Document>> made;
    std::vector<void*> memories;
    for (const Ids& ids : documents) {
      const auto tokens = static_cast<int64_t>(ids.size());
      made.push_back(std::make_unique<Document>(bart_->document_bytes(tokens, limits), tokens, limits));
      memories.push_back(made.back()->memory.data());
    }
    const remuda::cuda::DeviceMemory workspace(bart_->encode_bytes(laid.offsets.back()));
    bart_->encode(stream_, workspace.data(),
                  {.ids = laid.ids.data(), .offsets = laid.offsets.data(), .documents = std::ssize(documents)},
                  memories.data());
    return made;
  }

  void make_room(const remuda::cuda::HostStepRoom& room) {
    workspace_.emplace(bart_->step_bytes(room));
    decoder_->set_workspace(workspace_->data(), room);
  }

  // With the tables advanced; rules for each row where something is ranked.
  Ranked step(const std::vector<Rows>& rows, int64_t k = 0,
              const std::vector<remuda::cuda::HostRowRules>& rules = {}) const {
    Ids tokens;
    std::vector<remuda::cuda::HostStepDocument> documents;
    for (const Rows& each : rows) {
      each.document->tables.advance(each.parents);
      tokens.insert(tokens.end(), each.tokens.begin(), each.tokens.end());
      documents.push_back(step_document(*each.document));
    }
    Ranked ranked{std::vector<float>(tokens.size() * static_cast<size_t>(k)),
                  Ids(tokens.size() * static_cast<size_t>(k))};
    decoder_->step({.documents = documents.data(),
                    .num_documents = std::ssize(documents),
                    .tokens = tokens.data(),
                    .rules = rules.data(),
                    .k = k,
                    .scores = ranked.scores.data(),
                    .best = ranked.best.data()});
    return ranked;
  }

  static remuda::cuda::HostStepDocument step_document(Document& document) {
    return {.memory = document.memory.data(),
            .encoder_tokens = document.encoder_tokens,
            .limits = document.limits,
            .rows = static_cast<int32_t>(document.tables.rows()),
            .length = static_cast<int32_t>(document.tables.length()),
            .tables = document.tables.table(0),
            .table_stride = document.tables.stride()};
  }

  Logits logits(size_t rows) const {
    Logits all;
    for (size_t row = 0; row < rows; ++row) {
      const auto number = static_cast<int32_t>(row);
      std::vector<float>& one = all.emplace_back(static_cast<size_t>(config_.vocab_size));
      decoder_->fetch_logits(&number, 1, one.data());
    }
    return all;
  }

 private:
  // Null is a stream of the processor's runtime as good as any.
  const remuda::cuda::Stream stream_ = {.device = 0, .stream = nullptr};
  io::BartConfig config_;
  std::optional<remuda::cuda::DeviceMemory> weights_;
  std::optional<remuda::cuda::DeviceMemory> workspace_;
  std::unique_ptr<remuda::cuda::Bart> bart_;
  std::unique_ptr<remuda::cuda::BartDecoder> decoder_;
};

// What several documents' searches might ask for, step after step: sequences that fork, swap and drop out, documents
// that join and leave.
struct Script {
  struct Rows {
    size_t document;
    Ids tokens;
    Ids parents;
  };

  std::vector<Ids> documents = {some_ids(7, 1), some_ids(1, 2), some_ids(70, 3), some_ids(33, 4)};
  std::vector<size_t> joins = {0, 0, 3, 5};
  std::vector<size_t> leaves = {9, 4, 12, 12};
  int64_t max_rows = 5;
  std::vector<std::vector<Rows>> steps;

  explicit Script(uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<size_t> before(documents.size(), 0);
    for (size_t t = 0; t < 12; ++t) {
      std::vector<Rows>& step = steps.emplace_back();
      for (size_t d = 0; d < documents.size(); ++d) {
        if (t < joins[d] || t >= leaves[d]) continue;
        Rows& rows = step.emplace_back(Rows{d, {}, {}});
        // Mostly the same number, so that steps are alike.
        const size_t count = random() % 4 == 0 ? 1 + random() % static_cast<size_t>(max_rows) : 3;
        for (size_t i = 0; i < count; ++i) {
          rows.tokens.push_back(static_cast<int32_t>(random() % 101));
          rows.parents.push_back(before[d] == 0 ? -1 : static_cast<int32_t>(random() % before[d]));
        }
        before[d] = count;
      }
    }
  }

  remuda::cuda::HostLimits limits() const { return {.max_rows = max_rows, .max_positions = 12}; }
  static size_t rows_of(const std::vector<Rows>& step) {
    size_t rows = 0;
    for (const Rows& each : step) rows += each.tokens.size();
    return rows;
  }
};

}  // namespace remuda::models
