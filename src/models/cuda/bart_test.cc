// The GPU's BART, run on the processor (kernels/cuda/testing), against the CPU's: all that is left to a GPU is its own
// instructions and cuBLASLt.
#include "models/cuda/bart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/cuda/bart_test_support.h"
#include "models/vectors_test_support.h"

namespace remuda::models {
namespace {

// The logits of each step of a script.
std::vector<Logits> play_on_cpu(const io::BartConfig& config, const BartFile& file, const Script& script) {
  ComputePool pool(1);
  WorkspaceArena arena;
  const Bart bart(config, file.checkpoint(), Precision::kFp32, pool);
  std::vector<std::optional<BartDocument>> documents(script.documents.size());
  const DecodeLimits limits = {.max_rows = script.max_rows, .max_positions = script.limits().max_positions};
  std::vector<Logits> played;
  for (const std::vector<Script::Rows>& step : script.steps) {
    std::vector<DecodeRow> rows;
    for (const Script::Rows& each : step) {
      std::optional<BartDocument>& document = documents[each.document];
      if (!document) {
        const Documents one({script.documents[each.document]});
        document.emplace(std::move(bart.encode({one.ids, one.offsets}, std::span(&limits, 1), arena, pool)[0]));
      }
      for (size_t i = 0; i < each.tokens.size(); ++i) rows.push_back({&*document, each.tokens[i], each.parents[i]});
    }
    played.push_back(decode_step(bart, rows, arena, pool));
  }
  return played;
}

// Documents that begin at the same step are encoded together.
std::vector<Logits> play_on_gpu(BartOnHost& bart, const Script& script) {
  std::vector<std::unique_ptr<BartOnHost::Document>> documents(script.documents.size());
  std::vector<Logits> played;
  for (size_t t = 0; t < script.steps.size(); ++t) {
    std::vector<size_t> joining;
    std::vector<Ids> ids;
    for (size_t d = 0; d < documents.size(); ++d) {
      if (script.leaves[d] == t) documents[d].reset();
      if (script.joins[d] != t) continue;
      joining.push_back(d);
      ids.push_back(script.documents[d]);
    }
    if (!joining.empty()) {
      auto encoded = bart.encode(ids, script.limits());
      for (size_t i = 0; i < joining.size(); ++i) documents[joining[i]] = std::move(encoded[i]);
    }
    std::vector<BartOnHost::Rows> rows;
    for (const Script::Rows& each : script.steps[t]) {
      rows.push_back({documents[each.document].get(), each.tokens, each.parents});
    }
    bart.step(rows);
    played.push_back(bart.logits(Script::rows_of(script.steps[t])));
  }
  return played;
}

constexpr remuda::cuda::HostStepRoom kRoom = {.rows = 24, .k = 9, .rule_tokens = 300};

float spread_of(const std::vector<float>& row) {
  return *std::max_element(row.begin(), row.end()) - *std::min_element(row.begin(), row.end());
}

struct Variant {
  const char* name;
  const char* activation;
  bool scales;
  bool ties;
};

class CudaBart : public testing::TestWithParam<Variant> {
 protected:
  static io::BartConfig config() {
    io::BartConfig config = small_bart();
    config.activation_function = GetParam().activation;
    config.scale_embedding = GetParam().scales;
    config.tie_word_embeddings = GetParam().ties;
    return config;
  }

  const io::BartConfig config_ = config();
  const BartFile file_{config_};
};

INSTANTIATE_TEST_SUITE_P(Variants, CudaBart,
                         testing::Values(Variant{"tied", "gelu", false, true}, Variant{"scaled", "relu", true, true},
                                         Variant{"untied", "gelu_new", false, false}),
                         [](const auto& variant) { return variant.param.name; });

TEST_P(CudaBart, GivesTheProcessorsLogitsInFp32) {
  const Script script(7);
  BartOnHost bart(config_, file_, Precision::kFp32);
  bart.make_room(kRoom);
  const std::vector<Logits> expected = play_on_cpu(config_, file_, script);
  const std::vector<Logits> found = play_on_gpu(bart, script);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t t = 0; t < found.size(); ++t) {
    ASSERT_EQ(found[t].size(), expected[t].size());
    for (size_t row = 0; row < found[t].size(); ++row) {
      const float tolerance = 1e-4f * spread_of(expected[t][row]);
      ASSERT_THAT(found[t][row], testing::Pointwise(testing::FloatNear(tolerance), expected[t][row]))
          << "step " << t << ", row " << row;
    }
  }
  EXPECT_GT(bart.decoder().replayed_steps(), 0u);
}

TEST_P(CudaBart, IsNearThemInTheShorterTypes) {
  const Script script(8);
  const std::vector<Logits> expected = play_on_cpu(config_, file_, script);
  for (const Precision precision : {Precision::kFp16, Precision::kBf16}) {
    BartOnHost bart(config_, file_, precision);
    bart.make_room(kRoom);
    const std::vector<Logits> found = play_on_gpu(bart, script);
    for (size_t t = 0; t < found.size(); ++t) {
      for (size_t row = 0; row < found[t].size(); ++row) {
        EXPECT_GT(cosine(found[t][row], expected[t][row]), precision == Precision::kFp16 ? 0.9999 : 0.995);
      }
    }
  }
}

TEST_P(CudaBart, RoundsToTf32WhereThatIsAskedFor) {
  const Script script(8);
  const std::vector<Logits> expected = play_on_cpu(config_, file_, script);
  BartOnHost bart(config_, file_, Precision::kTf32);
  bart.make_room(kRoom);
  const std::vector<Logits> found = play_on_gpu(bart, script);
  float furthest = 0.0f;  // By what fp32 may be off.
  for (size_t t = 0; t < found.size(); ++t) {
    for (size_t row = 0; row < found[t].size(); ++row) {
      EXPECT_GT(cosine(found[t][row], expected[t][row]), 0.9999);
      for (size_t i = 0; i < found[t][row].size(); ++i) {
        const float off = std::abs(found[t][row][i] - expected[t][row][i]);
        furthest = std::max(furthest, off / (1e-4f * spread_of(expected[t][row])));
      }
    }
  }
  EXPECT_GT(furthest, 1.0f);
}

TEST_P(CudaBart, ADocumentsLogitsAreTheSameBytesAlone) {
  Script script(9);
  BartOnHost bart(config_, file_, Precision::kFp16);
  bart.make_room(kRoom);
  const std::vector<Logits> together = play_on_gpu(bart, script);
  for (size_t d = 0; d < script.documents.size(); ++d) {
    const auto document = std::move(bart.encode({script.documents[d]}, script.limits())[0]);
    for (size_t t = 0; t < script.steps.size(); ++t) {
      size_t row = 0;
      for (const Script::Rows& each : script.steps[t]) {
        if (each.document == d) {
          bart.step({{document.get(), each.tokens, each.parents}});
          for (const std::vector<float>& alone : bart.logits(each.tokens.size())) {
            EXPECT_TRUE(same_bytes(alone, together[t][row++])) << "document " << d << ", step " << t;
          }
        } else {
          row += each.tokens.size();
        }
      }
    }
  }
}

// Enough sequences for more tiles than one.
TEST(CudaBartRows, ManySequencesOfADocument) {
  const io::BartConfig config = small_bart();
  const BartFile file(config);
  BartOnHost bart(config, file, Precision::kFp32);
  bart.make_room({.rows = 40, .k = 0, .rule_tokens = 0});
  const auto documents = bart.encode({some_ids(20, 1), some_ids(9, 2)}, {.max_rows = 20, .max_positions = 3});
  const Ids tokens = some_ids(20, 5);
  const Ids first(20, -1);
  bart.step({{documents[0].get(), tokens, first}, {documents[1].get(), tokens, first}});
  const Logits together = bart.logits(40);
  for (size_t d = 0; d < 2; ++d) {
    for (const size_t row : {size_t{0}, size_t{3}, size_t{15}, size_t{16}, size_t{19}}) {
      const auto alone = bart.encode({d == 0 ? some_ids(20, 1) : some_ids(9, 2)}, {.max_rows = 1, .max_positions = 1});
      bart.step({{alone[0].get(), {tokens[row]}, {-1}}});
      EXPECT_TRUE(same_bytes(bart.logits(1)[0], together[d * 20 + row]));
    }
  }
}

// A decoder whose workspace is set anew before every step launches all of it; another one replays what it can.
TEST(CudaBartGraphs, AReplayIsTheSameBytesAsLaunches) {
  const io::BartConfig config = small_bart();
  const BartFile file(config);
  const Script script(11);
  const Ids some = some_ids(40, 6);
  struct Played {
    std::vector<Logits> logits;
    std::vector<BartOnHost::Ranked> ranked;
    uint64_t replayed = 0;
  };
  const auto play = [&](bool launches) {
    BartOnHost bart(config, file, Precision::kFp16);
    bart.make_room(kRoom);
    Played played;
    const auto documents = bart.encode(script.documents, script.limits());
    for (size_t t = 0; t < script.steps.size(); ++t) {
      std::vector<BartOnHost::Rows> rows;
      std::vector<remuda::cuda::HostRowRules> rules;
      for (const Script::Rows& each : script.steps[t]) {
        rows.push_back({documents[each.document].get(), each.tokens, each.parents});
        // Of another length in each step.
        const auto count = static_cast<int32_t>((t + each.document) % 7);
        rules.insert(rules.end(), each.tokens.size(),
                     {.penalized = nullptr,
                      .forbidden = some.data() + t,
                      .num_penalized = 0,
                      .num_forbidden = count,
                      .penalty = 1.0f,
                      .rules_come_first = static_cast<int32_t>(t % 2)});
      }
      if (launches) bart.make_room(kRoom);
      played.ranked.push_back(bart.step(rows, t % 5 == 0 ? 4 : 9, rules));
      played.logits.push_back(bart.logits(Script::rows_of(script.steps[t])));
    }
    played.replayed = bart.decoder().replayed_steps();
    return played;
  };
  const Played launched = play(true);
  const Played replayed = play(false);
  EXPECT_EQ(launched.replayed, 0u);
  EXPECT_GE(replayed.replayed, 2u);
  for (size_t t = 0; t < script.steps.size(); ++t) {
    for (size_t row = 0; row < launched.logits[t].size(); ++row) {
      EXPECT_TRUE(same_bytes(launched.logits[t][row], replayed.logits[t][row])) << "step " << t << ", row " << row;
    }
    EXPECT_TRUE(same_bytes(launched.ranked[t].scores, replayed.ranked[t].scores)) << "step " << t;
    EXPECT_EQ(launched.ranked[t].best, replayed.ranked[t].best) << "step " << t;
  }
}

TEST(CudaBartEncoder, CrossAttentionIsTheDecodersOfTheProcessorsEncoderStates) {
  const io::BartConfig config = small_bart();
  const BartFile file(config);
  const Documents documents({some_ids(17, 1), some_ids(40, 2)});
  const auto tokens = static_cast<int64_t>(documents.ids.size());
  ComputePool pool(1);
  WorkspaceArena arena;
  const Bart bart(config, file.checkpoint(), Precision::kFp32, pool);
  FloatTensor hidden({tokens, config.d_model});
  bart.encoder_states({documents.ids, documents.offsets}, {hidden.data(), tokens, config.d_model}, arena, pool);
  const BartOnHost on_gpu(config, file, Precision::kFp32);
  const auto encoded = on_gpu.encode({some_ids(17, 1), some_ids(40, 2)}, {.max_rows = 1, .max_positions = 1});
  const BartWeights weights(config, *file.checkpoint());
  for (int64_t i = 0; i < config.decoder_layers; ++i) {
    const BartLayerTensors layer = weights.decoder_layer_tensors(i);
    for (int64_t token = 0; token < tokens; token += 3) {
      const auto document = static_cast<size_t>(token >= documents.offsets[1] ? 1 : 0);
      const int64_t length = documents.offsets[document + 1] - documents.offsets[document];
      const float* const found = static_cast<const float*>(encoded[document]->memory.data()) +
                                 (i * length + token - documents.offsets[document]) * 2 * config.d_model;
      for (int64_t column = 0; column < 2 * config.d_model; ++column) {
        const bool is_key = column < config.d_model;
        const int64_t out = column % config.d_model;
        const auto* const matrix = reinterpret_cast<const float*>((is_key ? layer.cross_key : layer.cross_value).data);
        double sum = static_cast<double>((is_key ? layer.cross_key_bias : layer.cross_value_bias).data()[out]);
        for (int64_t in = 0; in < config.d_model; ++in) {
          sum += static_cast<double>(hidden.data()[token * config.d_model + in]) *
                 static_cast<double>(matrix[out * config.d_model + in]);
        }
        ASSERT_NEAR(static_cast<double>(found[column]), sum, 1e-4) << "layer " << i << ", token " << token;
      }
    }
  }
}

class CudaBartErrors : public testing::Test {
 protected:
  CudaBartErrors() { bart_.make_room({.rows = 3, .k = 4, .rule_tokens = 5}); }

  template <class Body>
  static void expect_refused(const std::string& what, const Body& body) {
    try {
      body();
      ADD_FAILURE() << what;
    } catch (const remuda::cuda::StatusError& error) {
      EXPECT_EQ(error.status(), remuda::cuda::Status::kInvalidArgument);
      EXPECT_THAT(error.what(), testing::HasSubstr(what));
    }
  }

  // A good step, but for what `change` does to it.
  struct Step {
    std::vector<remuda::cuda::HostStepDocument> documents;
    Ids tables = {0, 1, 2};
    Ids tokens = {1, 2, 3};
    Ids of_rules = {4, 5};
    std::vector<remuda::cuda::HostRowRules> rules;
    int64_t k = 2;
  };
  template <class Change>
  void step(const Change& change) {
    Step s;
    s.rules.assign(3, {.penalized = s.of_rules.data(),
                       .forbidden = s.of_rules.data(),
                       .num_penalized = 0,
                       .num_forbidden = 1,
                       .penalty = 1.0f,
                       .rules_come_first = 0});
    s.documents = {{.memory = document_->memory.data(),
                    .encoder_tokens = 5,
                    .limits = {.max_rows = 3, .max_positions = 2},
                    .rows = 3,
                    .length = 1,
                    .tables = s.tables.data(),
                    .table_stride = 1}};
    change(s);
    std::vector<float> scores(300);
    Ids best(300);
    bart_.decoder().step({.documents = s.documents.data(),
                          .num_documents = std::ssize(s.documents),
                          .tokens = s.tokens.data(),
                          .rules = s.rules.data(),
                          .k = s.k,
                          .scores = scores.data(),
                          .best = best.data()});
  }

  const io::BartConfig config_ = small_bart();
  const BartFile file_{config_};
  BartOnHost bart_{config_, file_, Precision::kFp32};
  const std::unique_ptr<BartOnHost::Document> document_ =
      std::move(bart_.encode({some_ids(5, 1)}, {.max_rows = 3, .max_positions = 2})[0]);
};

TEST_F(CudaBartErrors, StepsThatWouldReadOutsideTheirMemory) {
  const auto refused = [&](const std::string& what, const auto& change) {
    expect_refused(what, [&] { step(change); });
  };
  refused("at least one document", [](Step& s) { s.documents.clear(); });
  refused("multiple of 256",
          [](Step& s) { s.documents[0].memory = static_cast<std::byte*>(s.documents[0].memory) + 16; });
  refused("found 91 tokens", [](Step& s) { s.documents[0].encoder_tokens = 91; });
  refused("found 5 tokens, 0 positions", [](Step& s) { s.documents[0].limits.max_positions = 0; });
  refused("found 4 rows at position 1", [](Step& s) { s.documents[0].rows = 4; });
  refused("found 3 rows at position 3", [](Step& s) { s.documents[0].length = 3; });
  refused("row 1 of a document's log to be a sequence's own, found 2", [](Step& s) { s.tables[1] = 2; });
  refused("rows of a document's log from 0 to 2, found 3", [](Step& s) {
    s.tables = {0, 3, 3, 4};
    s.documents[0].tables = s.tables.data();
    s.documents[0].table_stride = s.documents[0].length = s.documents[0].rows = 2;
  });
  refused("up to 3 rows, found 6", [](Step& s) { s.documents.push_back(s.documents[0]); });
  refused("tokens from 0 to 100, found 101", [](Step& s) { s.tokens[2] = 101; });
  refused("0 to 4 ranked tokens, found 5", [](Step& s) { s.k = 5; });
  refused("a penalty of more than 0", [](Step& s) { s.rules[1].penalty = 0.0f; });
  refused("no less than 0 tokens", [](Step& s) { s.rules[1].num_forbidden = -1; });
  refused("forbidden tokens from 0 to 100, found -1", [](Step& s) { s.of_rules[0] = -1; });
  refused("penalized tokens from 0 to 100, found 101", [](Step& s) {
    s.rules[0].num_penalized = 2;
    s.of_rules[1] = 101;
  });
  refused("up to 5 tokens of rules, found 6", [](Step& s) {
    for (auto& rules : s.rules) rules.num_forbidden = 2;
  });
  // Nothing of all that has done any harm.
  EXPECT_NO_THROW(step([](Step&) {}));
  EXPECT_NO_THROW(bart_.logits(3));
  expect_refused("rows of the step before from 0 to 2, found 3", [&] { bart_.logits(4); });
}

TEST_F(CudaBartErrors, DocumentsRoomsAndShapesThatItDoesNotDo) {
  const remuda::cuda::Bart& bart = bart_.bart();
  expect_refused("found 0 tokens", [&] { bart.document_bytes(0, {.max_rows = 1, .max_positions = 1}); });
  expect_refused("102 sequences", [&] { bart.document_bytes(1, {.max_rows = 102, .max_positions = 1}); });
  expect_refused("1 to 2^31 - 1 tokens", [&] { bart.encode_bytes(0); });
  expect_refused("room for steps", [&] { bart.step_bytes({.rows = 0, .k = 0, .rule_tokens = 0}); });
  expect_refused("room for steps", [&] { bart.step_bytes({.rows = 1, .k = 513, .rule_tokens = 0}); });
  const remuda::cuda::DeviceMemory workspace(bart.encode_bytes(91));
  expect_refused("documents of 1 to 90 tokens, found one of 91", [&] {
    const Documents one({some_ids(91, 1)});
    void* const memory = document_->memory.data();
    bart.encode({.device = 0, .stream = nullptr}, workspace.data(),
                {.ids = one.ids.data(), .offsets = one.offsets.data(), .documents = 1}, &memory);
  });
  expect_refused("ids from 0 to 100, found 101", [&] { bart_.encode({{101}}, {.max_rows = 1, .max_positions = 1}); });
  // Without room there are no steps.
  const auto decoder = bart.make_decoder({.device = 0, .stream = nullptr});
  expect_refused("multiple of 256", [&] { decoder->set_workspace(nullptr, kRoom); });
  expect_refused("up to 0 rows", [&] {
    const Ids tables = {0}, tokens = {1};
    const remuda::cuda::HostStepDocument document = {.memory = document_->memory.data(),
                                                     .encoder_tokens = 5,
                                                     .limits = {.max_rows = 3, .max_positions = 2},
                                                     .rows = 1,
                                                     .length = 1,
                                                     .tables = tables.data(),
                                                     .table_stride = 1};
    decoder->step({.documents = &document,
                   .num_documents = 1,
                   .tokens = tokens.data(),
                   .rules = nullptr,
                   .k = 0,
                   .scores = nullptr,
                   .best = nullptr});
  });
  GpuBartWeights weights(config_, *file_.checkpoint(), Precision::kFp32);
  const auto shape = [&](const std::string& what, const auto& change) {
    remuda::cuda::HostBart host = weights.host();
    change(host);
    expect_refused(what, [&] { models::cuda::bart_bytes(host); });
  };
  shape("d_model: expected a multiple of 8 up to 4096, found 60", [](auto& host) { host.d_model = 60; });
  shape("vocab_size: expected up to 300000, found 300001", [](auto& host) { host.vocab_size = 300001; });
  shape("decoder inner_size: expected a multiple of 8, found 37", [](auto& host) { host.decoder.inner_size = 37; });
  shape("decoder num_heads: expected a divisor of 256 that leaves up to 128, found 1", [](auto& host) {
    host.d_model = 256;
    host.decoder.num_heads = 1;
  });
  shape("layers in the encoder", [](auto& host) { host.encoder.num_layers = 0; });
}

}  // namespace
}  // namespace remuda::models
