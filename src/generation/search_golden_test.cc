// Replays what transformers' `generate` did (tests/golden/make_generation_golden.py): the recorded logits stand in for
// the model, and ids and scores must come out equal.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "generation/options.h"
#include "generation/scores.h"
#include "generation/search.h"
#include "generation/search_test_support.h"

namespace remuda {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(REMUDA_SOURCE_DIR) / "tests/golden/generation";

const JsonValue& cases() {
  static const JsonDocument document = JsonDocument::parse_file(kGolden / "cases.json");
  static const JsonValue root = document.root();
  return root;
}

// The logits of one document, by the prefix that they follow.
class RecordedModel {
 public:
  explicit RecordedModel(const JsonValue& document) : vocabulary_(document.at("vocabulary").as_int()) {
    const int64_t nodes = document.at("nodes").as_int();
    const size_t node_size = 8 + 4 * static_cast<size_t>(vocabulary_);
    std::ifstream file(kGolden / "logits.bin", std::ios::binary);
    file.seekg(document.at("logits_begin").as_int());
    std::vector<char> node(node_size);
    logits_.resize(static_cast<size_t>(nodes * vocabulary_));
    for (int64_t i = 0; i < nodes; ++i) {
      if (!file.read(node.data(), static_cast<std::streamsize>(node_size))) {
        throw std::runtime_error("logits.bin is shorter than cases.json says");
      }
      int32_t parent, token;
      std::memcpy(&parent, node.data(), 4);
      std::memcpy(&token, node.data() + 4, 4);
      std::memcpy(logits_.data() + i * vocabulary_, node.data() + 8, node_size - 8);
      children_[{parent, token}] = static_cast<int32_t>(i);
    }
  }

  int64_t vocabulary() const { return vocabulary_; }
  // The node of a prefix, or -1 if `generate` never asked for it.
  int32_t child(int32_t node, int32_t token) const {
    const auto found = children_.find({node, token});
    return found == children_.end() ? -1 : found->second;
  }
  const float* logits(int32_t node) const { return logits_.data() + node * vocabulary_; }

 private:
  int64_t vocabulary_;
  std::map<std::pair<int32_t, int32_t>, int32_t> children_;
  std::vector<float> logits_;
};

// A search, with its twin that goes by ranked rows, and where its rows stand among the recorded prefixes: what a
// model's cache is to a real one.
class Replay {
 public:
  Replay(const RecordedModel& model, const std::shared_ptr<const GenerationPlan>& plan,
         std::span<const int32_t> encoder_ids)
      : model_(model), searches_(plan, encoder_ids) {}

  const Search& search() const { return searches_.search(); }
  const RankedSteps& steps() const { return searches_.steps(); }

  // False where a row was asked for that `generate` did not ask for.
  bool step() {
    const auto rows = search().rows();
    std::vector<int32_t> nodes;
    std::vector<float> logits;
    for (const StepRow& row : rows) {
      const int32_t node = model_.child(row.parent < 0 ? -1 : nodes_.at(static_cast<size_t>(row.parent)), row.token);
      if (node < 0) return false;
      nodes.push_back(node);
      logits.insert(logits.end(), model_.logits(node), model_.logits(node) + model_.vocabulary());
    }
    nodes_ = std::move(nodes);
    searches_.advance(MatrixView<const float>(logits.data(), static_cast<int64_t>(rows.size()), model_.vocabulary()));
    return true;
  }

 private:
  const RecordedModel& model_;
  TwinSearches searches_;
  std::vector<int32_t> nodes_;
};

TokenIds read_ids(const JsonValue& value) {
  TokenIds ids;
  for (const JsonValue& id : value.items()) ids.push_back(static_cast<int32_t>(id.as_int()));
  return ids;
}

std::shared_ptr<const GenerationPlan> plan_of(const JsonValue& document, std::string_view options) {
  const GenerationOptions read = read_generation_config(cases().at("options").at(options)).options;
  return std::make_shared<GenerationPlan>(resolve(read, {.vocabulary = document.at("vocabulary").as_int(),
                                                         .max_positions = document.at("max_positions").as_int()}));
}

void expect_results(const std::vector<Hypothesis>& found, const JsonValue& expected) {
  const auto results = expected.items();
  ASSERT_EQ(found.size(), results.size());
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(found[i].ids, read_ids(results[i].at("ids"))) << "result " << i;
    EXPECT_NEAR(found[i].score, results[i].at("score").as_double(), 1e-4) << "result " << i;
    const bool wins = found[i].score > -1e8;  // What loses may never have been completed.
    EXPECT_TRUE(found[i].complete || !wins) << "result " << i;
  }
}

void expect_prefix(const TokenIds& prefix, std::span<const int32_t> of) {
  ASSERT_LE(prefix.size(), of.size());
  EXPECT_EQ(prefix, TokenIds(of.begin(), of.begin() + static_cast<int64_t>(prefix.size())));
}

TEST(SearchGolden, EqualsGenerate) {
  size_t count = 0;
  RankedSteps steps;
  for (const JsonValue& document : cases().at("documents").items()) {
    const RecordedModel model(document);
    const TokenIds encoder_ids = read_ids(document.at("encoder_ids"));
    for (const auto& [options, expected] : document.at("results").members()) {
      SCOPED_TRACE(expected.where());
      Replay replay(model, plan_of(document, options), encoder_ids);
      TokenIds settled;
      while (!replay.search().finished()) {
        ASSERT_TRUE(replay.step()) << "generate never asked for one of these rows";
        const auto now = replay.search().settled();
        expect_prefix(settled, now);
        settled.assign(now.begin(), now.end());
      }
      const auto results = replay.search().results();
      expect_results(results, expected);
      EXPECT_EQ(settled, results.front().ids);
      steps += replay.steps();
      ++count;
    }
  }
  EXPECT_GE(count, 400u);
  EXPECT_GT(steps.ranked, 10 * (steps.refused + steps.unranked));
}

// The first step is one row, and a second one where the first token is forced; after that there are num_beams.
TEST(SearchGolden, ComputesEqualRowsOnce) {
  const JsonValue document = cases().at("documents").items().front();
  const RecordedModel model(document);
  Replay replay(model, plan_of(document, "cnn"), {});
  std::vector<size_t> rows;
  while (!replay.search().finished() && rows.size() < 4) {
    rows.push_back(replay.search().rows().size());
    ASSERT_TRUE(replay.step());
  }
  EXPECT_EQ(rows, (std::vector<size_t>{1, 1, 4, 4}));
}

// Documents and options of all kinds, a step of each in turn.
TEST(SearchGolden, SearchesDoNotDependOnOthers) {
  std::vector<std::unique_ptr<RecordedModel>> models;
  std::vector<std::pair<Replay, JsonValue>> running;
  for (const JsonValue& document : cases().at("documents").items()) {
    models.push_back(std::make_unique<RecordedModel>(document));
    const TokenIds encoder_ids = read_ids(document.at("encoder_ids"));
    for (const auto& [options, expected] : document.at("results").members()) {
      running.emplace_back(Replay(*models.back(), plan_of(document, options), encoder_ids), expected);
    }
  }
  for (bool any = true; any;) {
    any = false;
    for (auto& [replay, expected] : running) {
      if (replay.search().finished()) continue;
      any = true;
      ASSERT_TRUE(replay.step()) << expected.where();
    }
  }
  for (const auto& [replay, expected] : running) {
    SCOPED_TRACE(expected.where());
    expect_results(replay.search().results(), expected);
  }
}

// from_pretrained's generation_config, of configuration files old and new.
TEST(SearchGolden, ReadsConfigurationsAsFromPretrainedDoes) {
  for (const JsonValue& files : cases().at("configurations").items()) {
    SCOPED_TRACE(files.where());
    const JsonValue config = files.at("config");
    const auto generation_config = files.find("generation_config");
    GenerationOptions found =
        (generation_config ? read_generation_config(*generation_config, &config) : read_legacy_config(config)).options;
    const GenerationOptions expected = read_generation_config(files.at("options")).options;
    // A start token, without which transformers could not generate, comes from config.json.
    if (!expected.decoder_start_token_id && !expected.bos_token_id) {
      found.decoder_start_token_id.reset();
      found.bos_token_id.reset();
    }
    GenerationOptions::for_each([](const char* name, const auto& a, const auto& b) { EXPECT_EQ(a, b) << name; }, found,
                                expected);
  }
}

TEST(SearchGolden, ChoosesAmongEqualsAsTorchDoes) {
  for (const JsonValue& tie : cases().at("ties").items()) {
    std::vector<Candidate> candidates;
    for (const JsonValue& value : tie.at("values").items()) {
      candidates.push_back({static_cast<float>(value.as_double()), static_cast<int64_t>(candidates.size())});
    }
    const TokenIds expected = read_ids(tie.at("top"));
    select_as_torch_topk(candidates, static_cast<int64_t>(expected.size()));
    TokenIds found;
    for (size_t i = 0; i < expected.size(); ++i) found.push_back(static_cast<int32_t>(candidates[i].index));
    EXPECT_EQ(found, expected) << tie.where();
  }
}

}  // namespace
}  // namespace remuda
