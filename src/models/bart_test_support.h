// The tiny models of tests/golden/bart, and decoding with them.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "models/bart.h"
#include "models/small_bart_test_support.h"

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
    const Documents laid(documents);
    return model.encode({laid.ids, laid.offsets}, std::vector(documents.size(), limits), arena, with ? *with : pool);
  }

  Logits step(const std::vector<DecodeRow>& rows, ComputePool* with = nullptr) {
    return decode_step(model, rows, arena, with ? *with : pool);
  }

  // The logits after each of `tokens`, fed one by one to one sequence.
  Logits teach(const std::vector<int32_t>& document, const std::vector<int32_t>& tokens) {
    auto documents = encode({document}, {.max_rows = 1, .max_positions = static_cast<int64_t>(tokens.size())});
    Logits logits;
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
