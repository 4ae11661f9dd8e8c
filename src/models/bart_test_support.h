// The tiny models of tests/golden/bart, and decoding with them.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "models/bart.h"

namespace remuda::models {

inline std::filesystem::path bart_directory(const std::string& name) {
  return std::filesystem::path(REMUDA_SOURCE_DIR) / "tests" / "golden" / "bart" / name;
}

struct TinyBart {
  explicit TinyBart(const std::string& name, Precision precision = Precision::kFp32)
      : model(io::read_bart_config(bart_directory(name) / "config.json"),
              std::make_shared<const io::Checkpoint>(
                  io::Checkpoint::open_file(bart_directory(name) / "model.safetensors")),
              precision, pool) {}

  // Documents end to end, each with the same limits.
  std::vector<BartDocument> encode(const std::vector<std::vector<int32_t>>& documents, const DecodeLimits& limits,
                                   ComputePool* with = nullptr) {
    std::vector<int32_t> ids;
    std::vector<int64_t> offsets = {0};
    for (const auto& document : documents) {
      ids.insert(ids.end(), document.begin(), document.end());
      offsets.push_back(static_cast<int64_t>(ids.size()));
    }
    return model.encode({ids, offsets}, std::vector(documents.size(), limits), arena, with ? *with : pool);
  }

  // The logits of one step, [rows][vocab_size].
  std::vector<std::vector<float>> step(const std::vector<DecodeRow>& rows, ComputePool* with = nullptr) {
    const int64_t vocabulary = model.config().vocab_size;
    FloatTensor logits({static_cast<int64_t>(rows.size()), vocabulary});
    model.decode_step(rows, {logits.data(), logits.shape()[0], vocabulary}, arena, with ? *with : pool);
    std::vector<std::vector<float>> result;
    for (size_t i = 0; i < rows.size(); ++i) {
      const float* row = logits.data() + static_cast<int64_t>(i) * vocabulary;
      result.emplace_back(row, row + vocabulary);
    }
    return result;
  }

  // The logits after each of `tokens`, fed one by one to one sequence.
  std::vector<std::vector<float>> teach(const std::vector<int32_t>& document, const std::vector<int32_t>& tokens) {
    auto documents = encode({document}, {.max_rows = 1, .max_positions = static_cast<int64_t>(tokens.size())});
    std::vector<std::vector<float>> logits;
    for (size_t i = 0; i < tokens.size(); ++i) {
      logits.push_back(step({{&documents[0], tokens[i], i == 0 ? -1 : 0}})[0]);
    }
    return logits;
  }

  ComputePool pool{2};
  WorkspaceArena arena;
  Bart model;
};

}  // namespace remuda::models
