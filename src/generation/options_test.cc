#include "generation/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>
#include <string>

#include "remuda/error.h"

namespace remuda {
namespace {

using testing::HasSubstr;

constexpr GenerationLimits kLimits{.vocabulary = 10, .max_positions = 64};

GenerationOptions minimal() {
  GenerationOptions options;
  options.decoder_start_token_id = 2;
  options.eos_token_id = TokenIds{2};
  return options;
}

GenerationOptions read(std::string_view json) {
  const JsonDocument document = JsonDocument::parse(json, "generation_config.json");
  return read_generation_config(document.root());
}

template <typename Function>
std::string error_of(ErrorCode code, Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.code()), to_string(code));
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

struct BadOption {
  std::string expected;
  std::function<void(GenerationOptions&)> set;
};

TEST(Resolve, RefusesWhatCannotBe) {
  const std::vector<BadOption> bad = {
      {"num_beams must be from 1 to 10, but is 0", [](auto& o) { o.num_beams = 0; }},
      {"num_beams must be from 1 to 10, but is 11", [](auto& o) { o.num_beams = 11; }},
      {"num_return_sequences must be from 1", [](auto& o) { o.num_return_sequences = 0; }},
      {"num_return_sequences is 2, but greedy", [](auto& o) { o.num_return_sequences = 2; }},
      {"num_return_sequences (4) must not be greater than num_beams (3)",
       [](auto& o) { o.num_beams = 3, o.num_return_sequences = 4; }},
      {"temperature must be a number above 0, but is 0", [](auto& o) { o.temperature = 0.0; }},
      {"temperature must be a number above 0, but is -1", [](auto& o) { o.temperature = -1.0; }},
      {"temperature must be a number above 0, but is nan", [](auto& o) { o.temperature = NAN; }},
      {"top_k must be from 0", [](auto& o) { o.top_k = -1; }},
      {"top_p must be from 0 to 1, but is 1.5", [](auto& o) { o.top_p = 1.5; }},
      {"top_p must be from 0 to 1, but is nan", [](auto& o) { o.top_p = NAN; }},
      {"repetition_penalty must be a number above 0", [](auto& o) { o.repetition_penalty = 0.0; }},
      {"length_penalty must be a finite number", [](auto& o) { o.length_penalty = INFINITY; }},
      {"max_length must be from 2", [](auto& o) { o.max_length = 1; }},
      {"max_new_tokens must be from 1", [](auto& o) { o.max_new_tokens = 0; }},
      {"min_length must be from 0", [](auto& o) { o.min_length = -1; }},
      {"min_new_tokens must be from 0", [](auto& o) { o.min_new_tokens = -3; }},
      {"no_repeat_ngram_size must be from 0", [](auto& o) { o.no_repeat_ngram_size = -1; }},
      {"encoder_no_repeat_ngram_size must be from 0", [](auto& o) { o.encoder_no_repeat_ngram_size = -1; }},
      {"min_length asks for at least 12 tokens and max_length for at most 11",
       [](auto& o) { o.min_length = 12, o.max_length = 11; }},
      {"min_new_tokens asks for at least 6 tokens and max_new_tokens for at most 5",
       [](auto& o) { o.min_new_tokens = 5, o.max_new_tokens = 4; }},
      {"max_length asks for sequences of 66 tokens, but the decoder has 64 positions",
       [](auto& o) { o.max_length = 66; }},
      {"max_new_tokens asks for sequences of 81 tokens", [](auto& o) { o.max_new_tokens = 80; }},
      {"forced_bos_token_id: the model's vocabulary has the ids 0 to 9, but this is 10",
       [](auto& o) { o.forced_bos_token_id = 10; }},
      {"forced_eos_token_id: ", [](auto& o) { o.forced_eos_token_id = TokenIds{2, 10}; }},
      {"suppress_tokens: ", [](auto& o) { o.suppress_tokens = TokenIds{-1}; }},
      {"begin_suppress_tokens: ", [](auto& o) { o.begin_suppress_tokens = TokenIds{99}; }},
      {"bad_words_ids: ", [](auto& o) { o.bad_words_ids = std::vector<TokenIds>{{1, 2}, {3, 10}}; }},
      {"bad_words_ids has an empty word", [](auto& o) { o.bad_words_ids = std::vector<TokenIds>{{1}, {}}; }},
      {"decoder_start_token_id: ", [](auto& o) { o.decoder_start_token_id = 10; }},
      {"bos_token_id: ", [](auto& o) { o.bos_token_id = -2; }},
      {"eos_token_id: ", [](auto& o) { o.eos_token_id = TokenIds{10}; }},
      {"pad_token_id: ", [](auto& o) { o.pad_token_id = 10; }},
      {"neither decoder_start_token_id nor bos_token_id", [](auto& o) { o.decoder_start_token_id.reset(); }},
      {"needs a token that is no eos_token_id",
       [](auto& o) {
         o.num_beams = 2;
         o.eos_token_id = TokenIds{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
       }},
  };
  for (const BadOption& option : bad) {
    GenerationOptions options = minimal();
    option.set(options);
    EXPECT_THAT(error_of(ErrorCode::kInvalidArgument, [&] { resolve(options, kLimits); }), HasSubstr(option.expected));
  }
  EXPECT_THAT(error_of(ErrorCode::kInvalidArgument, [] { resolve(minimal(), {}); }), HasSubstr("vocabulary"));
}

TEST(Resolve, TakesWhatIsJustPossible) {
  GenerationOptions options = minimal();
  options.num_beams = 10;
  options.num_return_sequences = 10;
  options.max_length = 65;  // The last token needs no position.
  options.min_length = 65;
  options.top_p = 0.0;
  options.bad_words_ids = std::vector<TokenIds>{{9}};
  const GenerationPlan plan = resolve(options, kLimits);
  EXPECT_EQ(plan.num_beams, 10);
  EXPECT_EQ(plan.max_length, 65);
}

TEST(Resolve, DefaultsAreTransformers) {
  const GenerationPlan plan = resolve(minimal(), kLimits);
  EXPECT_EQ(plan.num_beams, 1);
  EXPECT_EQ(plan.num_return_sequences, 1);
  EXPECT_FALSE(plan.do_sample);
  EXPECT_EQ(plan.temperature, 1.0);
  EXPECT_EQ(plan.top_k, 50);
  EXPECT_EQ(plan.top_p, 1.0);
  EXPECT_EQ(plan.length_penalty, 1.0);
  EXPECT_EQ(plan.early_stopping, EarlyStopping::kFalse);
  EXPECT_EQ(plan.max_length, 21);
  EXPECT_EQ(plan.min_length, 0);
  EXPECT_EQ(plan.repetition_penalty, 1.0);
  EXPECT_EQ(plan.pad_token_id, 2) << "the first end token";
}

TEST(Resolve, TheDefaultLengthKeepsToThePositions) {
  EXPECT_EQ(resolve(minimal(), {.vocabulary = 10, .max_positions = 8}).max_length, 8);
  EXPECT_EQ(resolve(minimal(), {.vocabulary = 10, .max_positions = 0}).max_length, 21);
}

TEST(Resolve, NewTokensOutweighLengths) {
  GenerationOptions options = minimal();
  options.max_length = 5;
  options.min_length = 4;
  options.max_new_tokens = 30;
  options.min_new_tokens = 20;
  const GenerationPlan plan = resolve(options, kLimits);
  EXPECT_EQ(plan.max_length, 31);
  EXPECT_EQ(plan.min_length, 21);
}

TEST(Resolve, TheStartTokenIsBosWhereThereIsNoOther) {
  GenerationOptions options = minimal();
  options.bos_token_id = 7;
  EXPECT_EQ(resolve(options, kLimits).decoder_start_token_id, 2);
  options.decoder_start_token_id.reset();
  EXPECT_EQ(resolve(options, kLimits).decoder_start_token_id, 7);
}

TEST(Options, WhatIsSetWinsOverDefaults) {
  GenerationOptions caller;
  caller.num_beams = 2;
  caller.eos_token_id = TokenIds{};
  GenerationOptions model = minimal();
  model.num_beams = 4;
  model.min_length = 3;
  const GenerationOptions merged = caller.over(model);
  EXPECT_EQ(merged.num_beams, 2);
  EXPECT_EQ(merged.min_length, 3);
  EXPECT_EQ(merged.decoder_start_token_id, 2);
  EXPECT_EQ(merged.eos_token_id, TokenIds{});
  EXPECT_EQ(GenerationOptions().over(model), model);
  EXPECT_EQ(model.over({}), model);
}

TEST(Options, ForEachVisitsEveryFieldOnce) {
  GenerationOptions options;
  std::set<std::string> names;
  std::set<const void*> fields;
  GenerationOptions::for_each(
      [&](const char* name, auto& field) {
        names.insert(name);
        fields.insert(&field);
      },
      options);
  EXPECT_EQ(names.size(), 25u);
  EXPECT_EQ(fields.size(), 25u);
}

TEST(GenerationConfig, IsReadWithAllItsForms) {
  const GenerationOptions options = read(R"({
      "num_beams": 4, "early_stopping": "never", "length_penalty": 2, "eos_token_id": 2, "forced_eos_token_id": [2, 3],
      "bad_words_ids": [[1], [2, 3]], "suppress_tokens": [5], "do_sample": true, "top_p": 0.5, "max_length": null,
      "typical_p": 1.0, "num_beam_groups": 1, "transformers_version": "4.27.0", "_from_model_config": true})");
  GenerationOptions expected;
  expected.num_beams = 4;
  expected.early_stopping = EarlyStopping::kNever;
  expected.length_penalty = 2.0;
  expected.eos_token_id = TokenIds{2};
  expected.forced_eos_token_id = TokenIds{2, 3};
  expected.bad_words_ids = std::vector<TokenIds>{{1}, {2, 3}};
  expected.suppress_tokens = TokenIds{5};
  expected.do_sample = true;
  expected.top_p = 0.5;
  EXPECT_EQ(options, expected);
  EXPECT_EQ(read(R"({"early_stopping": true})").early_stopping, EarlyStopping::kTrue);
  EXPECT_EQ(read(R"({"early_stopping": false})").early_stopping, EarlyStopping::kFalse);
}

TEST(GenerationConfig, RefusesWrongTypes) {
  for (const auto& [json, expected] :
       std::vector<std::pair<std::string, std::string>>{{R"({"num_beams": "four"})", "num_beams"},
                                                        {R"({"num_beams": 1.5})", "num_beams"},
                                                        {R"({"early_stopping": "always"})", "\"never\""},
                                                        {R"({"eos_token_id": [2, "x"]})", "eos_token_id[1]"},
                                                        {R"({"forced_bos_token_id": -1})", "forced_bos_token_id"},
                                                        {R"({"pad_token_id": 4294967296})", "pad_token_id"},
                                                        {R"({"bad_words_ids": [5]})", "bad_words_ids[0]"},
                                                        {R"({"do_sample": 1})", "do_sample"},
                                                        {R"([])", "object"}}) {
    const std::string error = error_of(ErrorCode::kInvalidFile, [&] { read(json); });
    EXPECT_THAT(error, HasSubstr(expected));
    EXPECT_THAT(error, HasSubstr("generation_config.json"));
  }
}

TEST(GenerationConfig, RefusesOptionsThatItWouldIgnore) {
  for (const char* json :
       {R"({"num_beam_groups": 2})", R"({"diversity_penalty": 0.5})", R"({"typical_p": 0.9})", R"({"min_p": 0.1})",
        R"({"renormalize_logits": true})", R"({"stop_strings": ["x"]})", R"({"sequence_bias": [[[1], 2.0]]})"}) {
    EXPECT_THAT(error_of(ErrorCode::kUnsupported, [&] { read(json); }), HasSubstr("does not have this option"));
  }
  EXPECT_EQ(read(R"({"num_beam_groups": 1, "diversity_penalty": 0.0, "renormalize_logits": false, "min_p": null})"),
            GenerationOptions());
}

TEST(GenerationConfig, OnlyAMissingStartTokenComesFromConfig) {
  const JsonDocument config = JsonDocument::parse(
      R"({"decoder_start_token_id": 2, "bos_token_id": 0, "eos_token_id": 2, "num_beams": 4})", "config.json");
  const JsonDocument bare = JsonDocument::parse(R"({"eos_token_id": 3})", "generation_config.json");
  const JsonValue config_root = config.root();
  GenerationOptions expected;
  expected.decoder_start_token_id = 2;
  expected.bos_token_id = 0;
  expected.eos_token_id = TokenIds{3};
  EXPECT_EQ(read_generation_config(bare.root(), &config_root), expected);

  const JsonDocument full = JsonDocument::parse(R"({"bos_token_id": 1})", "generation_config.json");
  GenerationOptions with_bos;
  with_bos.bos_token_id = 1;
  EXPECT_EQ(read_generation_config(full.root(), &config_root), with_bos);
}

TEST(LegacyConfig, TheTaskComesBeforeTheRest) {
  const JsonDocument config = JsonDocument::parse(R"({
      "vocab_size": 50265, "model_type": "bart", "num_beams": 4, "max_length": 62, "min_length": 11, "eos_token_id": 2,
      "task_specific_params": {
        "summarization": {"max_length": 142, "min_length": 56, "length_penalty": 2.0, "early_stopping": true},
        "translation": {"num_beams": 9}}})",
                                                  "config.json");
  const GenerationOptions options = read_legacy_config(config.root());
  GenerationOptions expected;
  expected.num_beams = 4;
  expected.max_length = 142;
  expected.min_length = 56;
  expected.length_penalty = 2.0;
  expected.early_stopping = EarlyStopping::kTrue;
  expected.eos_token_id = TokenIds{2};
  EXPECT_EQ(options, expected);
}

TEST(LegacyConfig, NoTaskIsNoError) {
  for (const char* json : {R"({"num_beams": 3})", R"({"num_beams": 3, "task_specific_params": null})",
                           R"({"num_beams": 3, "task_specific_params": {"translation": {"num_beams": 9}}})"}) {
    const JsonDocument config = JsonDocument::parse(json, "config.json");
    EXPECT_EQ(read_legacy_config(config.root()).num_beams, 3);
  }
}

}  // namespace
}  // namespace remuda
