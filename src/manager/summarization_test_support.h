// A small BART directory that tests may change.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "base/scratch_directory.h"
#include "remuda/settings.h"

namespace remuda {

// A golden BART (random weights, 70 positions) with a WordPiece tokenizer of the encoders' goldens and defaults of 4
// beams. Removed with the object.
class SmallBart {
 public:
  SmallBart() {
    const std::filesystem::path golden = std::filesystem::path(REMUDA_SOURCE_DIR) / "tests/golden";
    for (const char* name : {"config.json", "model.safetensors"}) {
      std::filesystem::copy(golden / "bart/scaled" / name, scratch_.path() / name);
    }
    std::filesystem::copy(golden / "encoders/bert_mean/tokenizer.json", scratch_.path() / "tokenizer.json");
    write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
    write("generation_config.json",
          R"({"decoder_start_token_id": 9, "bos_token_id": 5, "eos_token_id": 7, "pad_token_id": 3,)"
          R"( "num_beams": 4, "max_length": 20, "no_repeat_ngram_size": 2})");
  }

  const std::filesystem::path& path() const { return scratch_.path(); }
  void write(const std::string& name, const std::string& content) const { scratch_.write(name, content); }

  Settings settings() const {
    Settings settings;
    settings.summarization_model = path().string();
    return settings;
  }

 private:
  const ScratchDirectory scratch_;
};

}  // namespace remuda
