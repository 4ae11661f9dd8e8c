// Checkpoints that are named differently, or wrong, and calls that do not fit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "base/scratch_directory.h"
#include "models/bart_test_support.h"
#include "remuda/error.h"

namespace remuda::models {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Tensors = std::map<std::string, TensorView>;
using Edit = std::function<void(Tensors&)>;

std::string error_of(ErrorCode code, const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing thrown";
  return "";
}

class BartCheckpoint : public ::testing::Test {
 protected:
  // A golden model whose tensors were edited.
  std::shared_ptr<const io::Checkpoint> edited(const std::string& name, const Edit& edit) {
    const io::Checkpoint original = io::Checkpoint::open_file(bart_directory(name) / "model.safetensors");
    Tensors tensors;
    for (const auto& [tensor, stored] : original.tensors()) tensors[tensor] = stored.view;
    edit(tensors);
    std::string header = "{", data;
    for (const auto& [tensor, view] : tensors) {
      const size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(view.data), view.bytes());
      header += (begin == 0 ? "\"" : ",\"") + tensor + R"(":{"dtype":")" + std::string(to_string(view.dtype)) +
                R"(","shape":)" + to_string(view.shape) + R"(,"data_offsets":[)" + std::to_string(begin) + "," +
                std::to_string(data.size()) + "]}";
    }
    header += "}";
    const uint64_t size = header.size();
    const fs::path path = directory_.path() / "model.safetensors";
    fs::remove(path);  // An earlier one may be mapped.
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(&size), sizeof(size)) << header << data;
    return std::make_shared<const io::Checkpoint>(io::Checkpoint::open_file(path));
  }

  Bart load(const std::string& name, const Edit& edit) {
    return Bart(io::read_bart_config(bart_directory(name) / "config.json"), edited(name, edit), Precision::kFp32,
                pool_);
  }

  // Logits of a document and a token, whatever they are.
  std::vector<float> logits_of(const Bart& bart) {
    WorkspaceArena arena;
    const std::vector<int32_t> ids = {5, 9, 2};
    const std::vector<int64_t> offsets = {0, 3};
    const DecodeLimits limits;
    auto documents = bart.encode({ids, offsets}, {&limits, 1}, arena, pool_);
    std::vector<float> logits(static_cast<size_t>(bart.config().vocab_size));
    const DecodeRow row{&documents[0], 4, -1};
    bart.decode_step({&row, 1}, {logits.data(), 1, bart.config().vocab_size}, arena, pool_);
    return logits;
  }

  ComputePool pool_{1};
  const ScratchDirectory directory_;
};

void rename(Tensors& tensors, const std::string& from, const std::string& to) {
  ASSERT_TRUE(tensors.contains(from)) << from;
  tensors[to] = tensors[from];
  tensors.erase(from);
}

TEST_F(BartCheckpoint, EveryWayToNameTheSameModelGivesTheSameLogits) {
  const std::vector<float> wanted = logits_of(load("distilled", [](Tensors&) {}));
  const std::map<std::string, Edit> edits = {
      {"no prefix",
       [](Tensors& tensors) {
         Tensors renamed;
         for (const auto& [name, view] : tensors) renamed[name.starts_with("model.") ? name.substr(6) : name] = view;
         tensors = renamed;
       }},
      {"only the encoder's name",
       [](Tensors& tensors) { rename(tensors, "model.shared.weight", "model.encoder.embed_tokens.weight"); }},
      {"only the decoder's name",
       [](Tensors& tensors) { rename(tensors, "model.shared.weight", "model.decoder.embed_tokens.weight"); }},
      {"every name",
       [](Tensors& tensors) {
         for (const char* name :
              {"model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"}) {
           tensors[name] = tensors["model.shared.weight"];
         }
       }},
  };
  for (const auto& [what, edit] : edits) EXPECT_EQ(logits_of(load("distilled", edit)), wanted) << what;
  EXPECT_NE(logits_of(load("distilled", [](Tensors& tensors) { tensors.erase("final_logits_bias"); })), wanted)
      << "a bias that does nothing tests nothing";
}

// As transformers' tie_weights() has it: a name that is there counts, whatever the others hold.
TEST_F(BartCheckpoint, ATensorOfItsOwnCountsWhateverTheTiedOnesAre) {
  const std::vector<float> wanted = logits_of(load("distilled", [](Tensors&) {}));
  const auto only = [](const char* name) {
    return [name](Tensors& tensors) { rename(tensors, "model.shared.weight", name); };
  };
  EXPECT_EQ(logits_of(load("distilled", only("lm_head.weight"))), wanted);
  EXPECT_EQ(logits_of(load("distilled", only("encoder.embed_tokens.weight"))), wanted) << "without its prefix";

  // Other numbers: those of the positions, which are rows of the same width.
  const auto other = [](Tensors& tensors, const std::string& name) {
    TensorView table = tensors["model.shared.weight"];
    static std::vector<std::byte> reversed;
    reversed.assign(table.data, table.data + table.bytes());
    std::ranges::reverse(std::span(reinterpret_cast<uint32_t*>(reversed.data()), reversed.size() / sizeof(uint32_t)));
    table.data = reversed.data();
    tensors[name] = table;
  };
  std::vector<std::vector<float>> found;
  for (const char* name :
       {"lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"}) {
    found.push_back(logits_of(load("distilled", [&](Tensors& tensors) { other(tensors, name); })));
    EXPECT_NE(found.back(), wanted) << name;
  }
  EXPECT_NE(found[0], found[1]);
  EXPECT_NE(found[1], found[2]);
  // The decoder's stands in for the encoder's, the head's for both.
  const auto without_shared = logits_of(load("distilled", [&](Tensors& tensors) {
    other(tensors, "model.encoder.embed_tokens.weight");
    rename(tensors, "model.shared.weight", "lm_head.weight");
  }));
  EXPECT_EQ(without_shared, found[1]);
}

TEST_F(BartCheckpoint, DoublesAreRoundedToFloats) {
  const std::vector<float> wanted = logits_of(load("distilled", [](Tensors&) {}));
  std::deque<std::vector<double>> doubles;
  const auto widened = logits_of(load("distilled", [&](Tensors& tensors) {
    for (auto& [name, view] : tensors) {
      std::vector<double>& values = doubles.emplace_back();
      for (int64_t i = 0; i < view.size(); ++i) values.push_back(static_cast<double>(view.at(i)));
      view = {DType::kF64, view.shape, reinterpret_cast<const std::byte*>(values.data())};
    }
  }));
  EXPECT_EQ(widened, wanted);
}

TEST_F(BartCheckpoint, EveryMissingTensorIsNamed) {
  const io::Checkpoint original = io::Checkpoint::open_file(bart_directory("untied") / "model.safetensors");
  for (const auto& [name, stored] : original.tensors()) {
    // The tied names stand in for each other, and the bias is optional.
    if (name == "final_logits_bias" || name == "model.shared.weight" ||
        name.find("embed_tokens") != std::string::npos) {
      continue;
    }
    const std::string& missing = name;
    const std::string message =
        error_of(ErrorCode::kInvalidFile, [&] { load("untied", [&](Tensors& tensors) { tensors.erase(missing); }); });
    EXPECT_THAT(message, HasSubstr(missing));
    EXPECT_THAT(message, HasSubstr("model.safetensors"));
  }
}

TEST_F(BartCheckpoint, EveryTensorOfAnotherShapeIsNamed) {
  const io::Checkpoint original = io::Checkpoint::open_file(bart_directory("untied") / "model.safetensors");
  for (const auto& [name, stored] : original.tensors()) {
    const TensorView& view = stored.view;
    if (name == "model.shared.weight") continue;  // Not used: each side has its own.
    const std::string& wrong = name;
    Shape shape = view.shape;
    const std::string expected = to_string(shape);
    --shape.back();
    const std::string message = error_of(
        ErrorCode::kInvalidFile, [&] { load("untied", [&](Tensors& tensors) { tensors[wrong].shape = shape; }); });
    EXPECT_THAT(message, HasSubstr(wrong));
    EXPECT_THAT(message, HasSubstr(expected));
    EXPECT_THAT(message, HasSubstr(to_string(shape)));
  }
}

// The token embeddings are read where the file is mapped: without the check this ends the process.
TEST_F(BartCheckpoint, AFileThatIsCutInPlaceIsAnError) {
  const Bart bart = load("untied", [](Tensors&) {});
  logits_of(bart);
  const fs::path path = directory_.path() / "model.safetensors";
  fs::resize_file(path, 100);
  const std::string message = error_of(ErrorCode::kInvalidFile, [&] { logits_of(bart); });
  EXPECT_THAT(message, HasSubstr(path.string()));
  EXPECT_THAT(message, HasSubstr("found 100 bytes written since"));
}

// The reference leaves them out, too.
TEST_F(BartCheckpoint, MoreLayersThanTheConfigurationSaysAreLeftOut) {
  const std::vector<float> all = logits_of(load("untied", [](Tensors&) {}));
  for (const char* side : {"encoder", "decoder"}) {
    io::BartConfig config = io::read_bart_config(bart_directory("untied") / "config.json");
    --(side[0] == 'e' ? config.encoder_layers : config.decoder_layers);
    const std::string last = std::string("model.") + side + ".layers.1.";
    const auto without = [&](Tensors& tensors) {
      std::erase_if(tensors, [&](const auto& tensor) { return tensor.first.starts_with(last); });
    };
    const std::vector<float> found =
        logits_of(Bart(config, edited("untied", [](Tensors&) {}), Precision::kFp32, pool_));
    EXPECT_EQ(found, logits_of(Bart(config, edited("untied", without), Precision::kFp32, pool_)));
    EXPECT_NE(found, all);
  }
}

TEST(BartCalls, DocumentsThatDoNotFitAreRefused) {
  TinyBart bart("untied");
  const DecodeLimits limits{2, 5};
  const auto refused = [&](const std::vector<std::vector<int32_t>>& documents, const DecodeLimits& with) {
    return error_of(ErrorCode::kInvalidArgument, [&] { bart.encode(documents, with); });
  };
  EXPECT_THAT(refused({{1, 2}, {}}, limits), HasSubstr("document 1: expected 1 to 33 tokens, found 0"));
  EXPECT_THAT(refused({std::vector<int32_t>(34, 1)}, limits),
              HasSubstr("document 0: expected 1 to 33 tokens, found 34"));
  EXPECT_THAT(refused({{1, 101}}, limits), HasSubstr("token 1: expected an id from 0 to 100, found 101"));
  EXPECT_THAT(refused({{-1}}, limits), HasSubstr("found -1"));
  EXPECT_THAT(refused({{1}}, {0, 5}), HasSubstr("found 0 sequences of 5 tokens"));
  EXPECT_THAT(refused({{1}}, {2, 0}), HasSubstr("found 2 sequences of 0 tokens"));
  EXPECT_THAT(refused({{1}}, {2, 34}), HasSubstr("1 to 33 tokens"));
  EXPECT_THAT(refused({{1}}, {102, 5}), HasSubstr("1 to 101 sequences"));
}

// And leaves every document of the step as it was.
TEST(BartCalls, StepsThatDoNotFitAreRefused) {
  TinyBart bart("untied");
  const std::vector<std::vector<int32_t>> texts = {{3, 4, 5}, {6}};
  auto documents = bart.encode(texts, {2, 2});
  auto untouched = bart.encode(texts, {2, 2});
  const auto feed = [&](std::vector<BartDocument>& to, int32_t token, int32_t parent) {
    return bart.step({{&to[0], token, parent}, {&to[1], token, parent}});
  };
  feed(documents, 2, -1);
  feed(untouched, 2, -1);
  BartDocument* first = documents.data();
  BartDocument* second = documents.data() + 1;
  const auto refused = [&](const std::vector<DecodeRow>& rows) {
    return error_of(ErrorCode::kInvalidArgument, [&] { bart.step(rows); });
  };
  EXPECT_THAT(refused({{first, 7, 0}, {second, 101, 0}}), HasSubstr("expected an id from 0 to 100, found 101"));
  EXPECT_THAT(refused({{first, 7, 0}, {second, 8, 1}}), HasSubstr("expected 0 to 0, found 1"));
  EXPECT_THAT(refused({{first, 7, 0}, {second, 8, -1}}), HasSubstr("found -1"));
  EXPECT_THAT(refused({{first, 7, 0}, {second, 8, 0}, {second, 8, 0}, {second, 8, 0}}), HasSubstr("1 to 2 sequences"));
  EXPECT_THAT(refused({{first, 7, 0}, {second, 8, 0}, {first, 7, 0}}), HasSubstr("row 2"));
  std::vector<float> logits(100);
  const DecodeRow row{first, 7, 0};
  EXPECT_THAT(error_of(ErrorCode::kInvalidArgument,
                       [&] { bart.model.decode_step({&row, 1}, {logits.data(), 1, 100}, bart.arena, bart.pool); }),
              HasSubstr("expected room for [1, 101], found [1, 100]"));
  EXPECT_EQ(first->length(), 1);
  EXPECT_EQ(second->length(), 1);
  EXPECT_EQ(feed(documents, 9, 0), feed(untouched, 9, 0));
  EXPECT_THAT(refused({{first, 7, 0}}), HasSubstr("made for 2 positions"));
}

TEST(BartCalls, MemoryIsKnownBeforeAnyIsTaken) {
  TinyBart bart("scaled"), small("scaled", Precision::kInt8);
  const DecodeLimits limits{4, 20};
  // Three layers; heads of 12 dimensions, padded to 16 in the values; 23 tokens, padded to 32 in the keys.
  const size_t cross = size_t{3} * 3 * (32 * 12 + 23 * 16) * 4;
  const size_t cache = size_t{3} * 2 * 36 * 4 * 20 * 4 + 2 * 320;
  EXPECT_EQ(bart.model.document_bytes(23, limits), cross + cache);
  EXPECT_LT(small.model.document_bytes(23, limits), (cross + cache) * 6 / 10);
  EXPECT_EQ(bart.model.encode_bytes(5000), bart.model.encode_bytes(1024)) << "tokens that are encoded at once";
  EXPECT_GT(bart.model.step_bytes(8), bart.model.step_bytes(4));
}

}  // namespace
}  // namespace remuda::models
