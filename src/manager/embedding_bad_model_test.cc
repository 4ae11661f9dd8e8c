// Whole model directories with one thing wrong, and directories that change under a running model.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "base/scratch_directory.h"
#include "io/checkpoint.h"
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"

namespace remuda {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Tensors = std::map<std::string, TensorView>;

const fs::path kGolden = fs::path(REMUDA_SOURCE_DIR) / "tests/golden/encoders";

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A new file of this name; whoever has the old one mapped keeps it.
void write_file(const fs::path& path, std::string_view content) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << content;
}

// As package managers and downloads do it: beside the old file and then in its place.
void replace_file(const fs::path& path, std::string_view content) {
  fs::path next = path;
  next += ".next";
  std::ofstream(next, std::ios::binary) << content;
  fs::rename(next, path);
}

std::string safetensors_of(const Tensors& tensors) {
  std::string header = "{", data;
  for (const auto& [name, view] : tensors) {
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(view.data), view.bytes());
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", begin == 0 ? "" : ",", name,
                          to_string(view.dtype), to_string(view.shape), begin, data.size());
  }
  header += "}";
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header + data;
}

// A copy of a golden model to damage.
class BadModel : public ::testing::Test {
 protected:
  // A fresh copy each time: managers of the same files would share what is loaded.
  fs::path copy(const std::string& model) {
    const fs::path path = scratch_.path() / std::to_string(++copies_) / model;
    fs::create_directories(path.parent_path());
    fs::copy(kGolden / model, path, fs::copy_options::recursive);
    return path;
  }

  static Settings settings_of(const fs::path& model) {
    Settings settings;
    settings.embedding_model = model.string();
    settings.precision = Precision::kFp32;
    return settings;
  }
  static std::vector<float> embed(const fs::path& model, const std::string& text = "The herd waits.") {
    EmbeddingModelManager manager(settings_of(model));
    return manager.embed_text(text);
  }

  // Replaces what stands once in a file.
  static void edit(const fs::path& path, std::string_view from, std::string_view to) {
    std::string content = read_file(path);
    const size_t position = content.find(from);
    ASSERT_NE(position, std::string::npos) << path << " has no " << from;
    write_file(path, content.replace(position, from.size(), to));
  }
  static void edit_tensors(const fs::path& file, const std::function<void(Tensors&)>& change) {
    const io::Checkpoint original = io::Checkpoint::open_file(file);
    Tensors tensors;
    for (const auto& [name, stored] : original.tensors()) tensors[name] = stored.view;
    change(tensors);
    write_file(file, safetensors_of(tensors));
  }

  static void expect_refused(const fs::path& model, ErrorCode code, const std::vector<std::string>& parts) {
    try {
      embed(model);
      ADD_FAILURE() << "expected an error with \"" << parts.front() << '"';
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }

  const ScratchDirectory scratch_;
  int copies_ = 0;
};

// That only what a test changes makes the difference.
TEST_F(BadModel, AnUnchangedCopyAndARewrittenCheckpointGiveTheSameBytes) {
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    const std::string name = entry.path().filename().string();
    const std::vector<float> wanted = embed(entry.path());
    const fs::path model = copy(name);
    EXPECT_EQ(embed(model), wanted) << name;
    if (!fs::exists(model / "model.safetensors")) continue;
    edit_tensors(model / "model.safetensors", [](Tensors&) {});
    EXPECT_EQ(embed(model), wanted) << name;
  }
}

// Tensors that the computation has no use for; all others must be there.
bool is_unused(const std::string& tensor) {
  return tensor.find("pooler.") != std::string::npos || tensor.starts_with("lm_head.") ||
         tensor.ends_with("position_ids");
}

class BadTensors : public BadModel, public ::testing::WithParamInterface<const char*> {
 protected:
  // Damages each tensor of the model in turn.
  template <typename Damage>
  void damage_each(ErrorCode code, Damage damage) {
    const fs::path model = copy(GetParam());
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(model)) {
      if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
    }
    ASSERT_FALSE(files.empty());
    for (const fs::path& file : files) {
      const std::string original = read_file(file);
      const io::Checkpoint checkpoint = io::Checkpoint::open_file(file);
      for (const auto& [name, stored] : checkpoint.tensors()) {
        if (is_unused(name)) continue;
        SCOPED_TRACE(file.string() + " " + name);
        std::vector<std::string> parts = {name};
        edit_tensors(file, [&](Tensors& tensors) { damage(tensors, tensors.find(name), parts); });
        // A sharded checkpoint's index names it too.
        if (!fs::exists(model / "model.safetensors.index.json")) parts.push_back(file.string());
        expect_refused(model, code, parts);
        write_file(file, original);
      }
    }
  }
};

using Place = Tensors::iterator;
using Parts = std::vector<std::string>;

TEST_P(BadTensors, EachMissingOneIsNamed) {
  damage_each(ErrorCode::kInvalidFile, [](Tensors& tensors, Place place, Parts& parts) {
    tensors.erase(place);
    parts.emplace_back("found none");
  });
}

TEST_P(BadTensors, EachOfAnotherShapeIsNamedWithBothShapes) {
  damage_each(ErrorCode::kInvalidFile, [](Tensors&, Place place, Parts& parts) {
    Shape& shape = place->second.shape;
    parts.push_back("expected the shape " + to_string(shape));
    shape.back() -= 1;
    parts.push_back("found " + to_string(shape));
  });
}

TEST_P(BadTensors, EachOfAnotherNumberOfDimensionsIsNamed) {
  damage_each(ErrorCode::kInvalidFile, [](Tensors&, Place place, Parts& parts) {
    Shape& shape = place->second.shape;
    parts.push_back("expected the shape " + to_string(shape));
    shape.push_back(1);
    parts.push_back("found " + to_string(shape));
  });
}

TEST_P(BadTensors, EachOfIntegersIsNamedWithItsDtype) {
  damage_each(ErrorCode::kUnsupported, [](Tensors&, Place place, Parts& parts) {
    TensorView& view = place->second;
    view.dtype = view.dtype == DType::kF32 ? DType::kI32 : DType::kI16;
    parts.push_back("F32, F16, BF16 or F64");
    parts.push_back(view.dtype == DType::kI32 ? "found I32" : "found I16");
  });
}

INSTANTIATE_TEST_SUITE_P(Models, BadTensors,
                         ::testing::Values("bert_bf16_max", "bert_f16_dense", "bert_sharded_lower", "distilbert_bf16",
                                           "mpnet_f16", "roberta_head", "xlm_roberta_f16"),
                         [](const auto& tested) { return std::string(tested.param); });

// Edits of one file, each of which makes the model unusable.
struct Damage {
  const char* model;
  const char* file;
  const char* from;
  const char* to;
  ErrorCode code;
  std::vector<std::string> parts;
};

TEST_F(BadModel, ConfigurationsThatContradictTheFilesBesideThem) {
  constexpr ErrorCode kInvalid = ErrorCode::kInvalidFile;
  const std::vector<Damage> cases = {
      // More layers than there are, up to the most that a configuration may ask for.
      {"bert_mean",
       "config.json",
       R"("num_hidden_layers": 2)",
       R"("num_hidden_layers": 3)",
       kInvalid,
       {"model.safetensors", "encoder.layer.2.", "found none"}},
      {"bert_mean",
       "config.json",
       R"("num_hidden_layers": 2)",
       R"("num_hidden_layers": 1000000000000)",
       kInvalid,
       {"config.json: num_hidden_layers", "1000000000000"}},
      {"bert_mean",
       "config.json",
       R"("hidden_size": 24)",
       R"("hidden_size": 27)",
       kInvalid,
       {"model.safetensors", "word_embeddings", "27]", "24]"}},
      {"bert_cased_plain",
       "config.json",
       R"("hidden_size": 17)",
       R"("hidden_size": 18)",
       kInvalid,
       {"model.safetensors", "word_embeddings", "18]", "17]"}},
      {"bert_mean",
       "config.json",
       R"("intermediate_size": 50)",
       R"("intermediate_size": 51)",
       kInvalid,
       {"model.safetensors", "intermediate.dense.weight", "[51, 24]", "[50, 24]"}},
      // The position table is shorter than texts may be.
      {"bert_mean",
       "config.json",
       R"("max_position_embeddings": 160)",
       R"("max_position_embeddings": 161)",
       kInvalid,
       {"model.safetensors", "position_embeddings", "[161, 24]", "[160, 24]"}},
      {"bert_mean",
       "config.json",
       R"("type_vocab_size": 2)",
       R"("type_vocab_size": 3)",
       kInvalid,
       {"model.safetensors", "token_type_embeddings", "[3, 24]", "[2, 24]"}},
      {"mpnet_f16",
       "config.json",
       R"("relative_attention_num_buckets": 32)",
       R"("relative_attention_num_buckets": 33)",
       kInvalid,
       {"model.safetensors", "relative_attention_bias", "[33, 3]", "[32, 3]"}},
      {"bert_f16_dense",
       "2_Dense/config.json",
       R"("out_features": 18)",
       R"("out_features": 19)",
       kInvalid,
       {"2_Dense/model.safetensors", "linear.weight", "[19, 60]", "[18, 60]"}},
      {"bert_bf16_max",
       "2_Dense/config.json",
       R"("bias": false)",
       R"("bias": true)",
       kInvalid,
       {"2_Dense/model.safetensors", "linear.bias", "[21]", "found none"}},
      {"distilbert_bf16",
       "modules.json",
       R"("path": "2_Dense")",
       R"("path": "3_Dense")",
       kInvalid,
       {"3_Dense/config.json: in_features", "26", "15"}},
      {"bert_mean",
       "modules.json",
       R"("path": "1_Pooling")",
       R"("path": "1_Poling")",
       ErrorCode::kNotFound,
       {"1_Poling/config.json"}},
      {"bert_mean",
       "config.json",
       R"("model_type": "bert")",
       R"("model_type": "distilbert")",
       kInvalid,
       {"model.safetensors", "word_embeddings", "768]", "24]"}},
      {"bert_mean",
       "sentence_bert_config.json",
       R"("transformer_task")",
       R"("max_seq_length": -1, "transformer_task")",
       kInvalid,
       {"sentence_bert_config.json: max_seq_length", "-1"}},
      {"bert_mean",
       "sentence_bert_config.json",
       R"("transformer_task")",
       R"("do_lower_case": 1, "transformer_task")",
       kInvalid,
       {"sentence_bert_config.json: do_lower_case", "1"}},
  };
  for (const Damage& damage : cases) {
    SCOPED_TRACE(damage.to);
    const fs::path model = copy(damage.model);
    ASSERT_NO_FATAL_FAILURE(edit(model / damage.file, damage.from, damage.to));
    std::vector<std::string> parts = damage.parts;
    parts.push_back(model.string());
    expect_refused(model, damage.code, parts);
  }
}

// A table with fewer rows than the tokenizer has ids is an error of the texts that have such an id, and of no other
// call.
TEST_F(BadModel, IdsBeyondTheTableAreTheirTextsError) {
  const fs::path model = copy("bert_mean");
  ASSERT_NO_FATAL_FAILURE(edit(model / "tokenizer.json", R"("[PAD]": 0,)", R"("[PAD]": 0, "larger": 4000,)"));
  Settings settings;
  settings.embedding_model = model.string();
  EmbeddingModelManager manager(settings);
  const std::vector<std::string> good = {"a b", "c"};
  const std::vector<std::string> bad = {"a b", "larger c"};
  std::future<Embeddings> failing = manager.submit(bad);
  const Embeddings embeddings = manager.embed_texts(good);
  EXPECT_EQ(embeddings.size(), 2);
  EXPECT_THAT([&] { failing.get(); },
              testing::ThrowsMessage<Error>(
                  testing::AllOf(HasSubstr("text 1"), HasSubstr("below 165"), HasSubstr("4000 (\"larger\")"))));
}

TEST_F(BadModel, TokenizersThatDoNotFitTheModel) {
  constexpr ErrorCode kInvalid = ErrorCode::kInvalidFile;
  const std::vector<Damage> cases = {
      {"bert_mean",
       "tokenizer.json",
       R"("type": "WordPiece")",
       R"("type": "Canine")",
       ErrorCode::kUnsupported,
       {"tokenizer.json: model.type", "WordPiece", "\"Canine\""}},
      {"bert_mean",
       "tokenizer.json",
       R"("type": "BertNormalizer")",
       R"("type": "Shout")",
       ErrorCode::kUnsupported,
       {"tokenizer.json: normalizer.type", "BertNormalizer", "\"Shout\""}},
      {"bert_mean", "tokenizer.json", "{", "[", kInvalid, {"tokenizer.json"}},
  };
  for (const Damage& damage : cases) {
    SCOPED_TRACE(damage.to);
    const fs::path model = copy(damage.model);
    ASSERT_NO_FATAL_FAILURE(edit(model / damage.file, damage.from, damage.to));
    expect_refused(model, damage.code, damage.parts);
  }
  const fs::path model = copy("bert_mean");
  fs::remove(model / "tokenizer.json");
  expect_refused(model, ErrorCode::kNotFound, {model.string(), "tokenizer.json", "TokenizersBackend"});
}

TEST_F(BadModel, ModuleDirectoriesMayBeLinks) {
  const fs::path model = copy("bert_mean");
  const std::vector<float> wanted = embed(model);
  fs::rename(model / "1_Pooling", scratch_.path() / "pooling");
  fs::create_directory_symlink(scratch_.path() / "pooling", model / "1_Pooling");
  EXPECT_EQ(embed(model), wanted);
}

// A link to itself is neither there nor not there.
TEST_F(BadModel, LinksThatLeadNowhereAreErrorsOnlyWhereAFileIsNeeded) {
  const fs::path model = copy("bert_mean");
  const std::vector<float> wanted = embed(model);
  fs::create_symlink("circle", model / "circle");
  fs::create_symlink("nothing", model / "dangling");
  EXPECT_EQ(embed(model), wanted);
  for (const char* file : {"config.json", "modules.json", "tokenizer.json", "tokenizer_config.json",
                           "sentence_bert_config.json", "config_sentence_transformers.json", "model.safetensors"}) {
    SCOPED_TRACE(file);
    const fs::path broken = copy("bert_mean");
    fs::remove(broken / file);
    fs::create_symlink(file, broken / file);
    EXPECT_THAT([&] { embed(broken); }, testing::ThrowsMessage<Error>(HasSubstr((broken / file).string())));
  }
}

TEST_F(BadModel, MissingFilesAreNamed) {
  for (const char* file : {"config.json", "model.safetensors", "1_Pooling/config.json", "2_Dense/config.json",
                           "2_Dense/model.safetensors"}) {
    const fs::path model = copy("bert_f16_dense");
    fs::remove(model / file);
    expect_refused(model, ErrorCode::kNotFound, {(model / file).parent_path().string(), fs::path(file).filename()});
  }
}

// A limit that is longer than the positions is lowered to them, and said so.
TEST_F(BadModel, APositionTableShorterThanMaxSeqLengthIsTheLimit) {
  const fs::path model = copy("bert_sharded_lower");
  edit(model / "sentence_bert_config.json", "100", "5000");
  EmbeddingModelManager manager(settings_of(model));
  EXPECT_EQ(manager.info().max_seq_length, 160);
  std::string text;
  for (int i = 0; i < 400; ++i) text += "a ";
  const Embeddings found = manager.embed_texts(std::vector<std::string>{text});
  EXPECT_EQ(found.tokens[0], 402);
  EXPECT_EQ(found.used_tokens[0], 160);
}

TEST_F(BadModel, ALimitWithoutRoomForTheSpecialTokensIsRefused) {
  const fs::path model = copy("bert_sharded_lower");
  edit(model / "sentence_bert_config.json", "100", "1");
  expect_refused(model, ErrorCode::kInvalidFile, {"max_seq_length", "1"});
}

// What is loaded stays; who loads next sees the new.
TEST_F(BadModel, AFileThatIsReplacedLeavesTheRunningModelAndIsSeenByTheNext) {
  const fs::path model = copy("bert_mean");
  const std::string text = "All human beings are born free.";
  EmbeddingModelManager running(settings_of(model));
  const std::vector<float> before = running.embed_text(text);
  const Lease<EmbeddingInstance> lease = running.acquire();

  // Of the same size, header and time.
  const auto time = fs::last_write_time(model / "model.safetensors");
  std::string other = read_file(model / "model.safetensors");
  for (size_t i = other.size() - 4096; i < other.size(); i += 4) other[i + 3] ^= static_cast<char>(0x80);
  replace_file(model / "model.safetensors", other);
  fs::last_write_time(model / "model.safetensors", time);

  EXPECT_EQ(running.embed_text(text, *lease), before);
  EmbeddingModelManager next(settings_of(model));
  const std::vector<float> after = next.embed_text(text);
  EXPECT_NE(after, before);
  EXPECT_EQ(running.embed_text(text, *lease), before) << "after the other was loaded";

  edit(model / "tokenizer.json", R"("a": )", R"("born away": )");
  EXPECT_EQ(next.embed_text(text), after);
  EXPECT_EQ(running.embed_text(text, *lease), before);
}

// A copy over the file writes into the one that is mapped.
TEST_F(BadModel, AFileThatIsOverwrittenInPlaceIsAnErrorAndNeitherACrashNorAMixture) {
  const fs::path model = copy("bert_mean");
  const fs::path weights = model / "model.safetensors";
  const std::string original = read_file(weights);
  const auto overwrite = [&](std::string_view content) { std::ofstream(weights, std::ios::binary) << content; };
  // Two writes may be too close together for the file's time.
  const auto age = [&] { fs::last_write_time(weights, fs::last_write_time(weights) - std::chrono::hours(1)); };
  age();
  std::string other = original;
  for (size_t i = other.size() - 4096; i < other.size(); i += 4) other[i + 3] ^= static_cast<char>(0x80);
  for (const std::string& content : {other, original.substr(0, 100), std::string()}) {
    SCOPED_TRACE(content.size());
    EmbeddingModelManager running(settings_of(model));
    const std::vector<float> before = running.embed_text("a");
    const Lease<EmbeddingInstance> lease = running.acquire();
    overwrite(content);
    const std::string found = fmt::format("found {} bytes written since", content.size());
    const auto refusal = testing::ThrowsMessage<Error>(testing::AllOf(HasSubstr(weights.string()), HasSubstr(found)));
    EXPECT_THAT([&] { running.embed_text("a", *lease); }, refusal);
    EXPECT_THAT([&] { running.embed_text("a"); }, refusal);
    overwrite(original);
    EXPECT_THROW(running.embed_text("a", *lease), Error);
    EXPECT_EQ(embed(model, "a"), before) << "a new manager loads what is there";
    age();
  }
}

TEST_F(BadModel, AFileThatIsReplacedByABadOneFailsOnlyTheNext) {
  const fs::path model = copy("bert_mean");
  EmbeddingModelManager running(settings_of(model));
  const std::vector<float> before = running.embed_text("a");
  const Lease<EmbeddingInstance> lease = running.acquire();
  replace_file(model / "model.safetensors", "short");
  expect_refused(model, ErrorCode::kInvalidFile, {(model / "model.safetensors").string(), "5 bytes"});
  EXPECT_EQ(running.embed_text("a", *lease), before);
  fs::remove_all(model);
  EXPECT_EQ(running.embed_text("a", *lease), before);
  expect_refused(model, ErrorCode::kNotFound, {model.string()});
}

}  // namespace
}  // namespace remuda
