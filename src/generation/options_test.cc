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

CheckpointGeneration read_all(std::string_view json) {
  const JsonDocument document = JsonDocument::parse(json, "generation_config.json");
  return read_generation_config(document.root());
}

GenerationOptions read(std::string_view json) {
  const CheckpointGeneration found = read_all(json);
  EXPECT_THAT(found.problems, testing::IsEmpty()) << json;
  return found.options;
}

// What comes of a file that has these fields beside the tokens', with these options of the caller's.
GenerationPlan plan_of(const std::string& fields, const GenerationOptions& given = {}) {
  return resolve(given, read_all(R"({"decoder_start_token_id": 2, "eos_token_id": 2, )" + fields + "}"), kLimits);
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
      {"temperature must be a number above 0, but is 0", [](auto& o) { o.do_sample = true, o.temperature = 0.0; }},
      {"temperature must be a number above 0, but is -1", [](auto& o) { o.do_sample = true, o.temperature = -1.0; }},
      {"temperature must be a number above 0, but is nan", [](auto& o) { o.do_sample = true, o.temperature = NAN; }},
      {"top_k must be from 0", [](auto& o) { o.do_sample = true, o.top_k = -1; }},
      {"top_p must be from 0 to 1, but is 1.5", [](auto& o) { o.do_sample = true, o.top_p = 1.5; }},
      {"top_p must be from 0 to 1, but is nan", [](auto& o) { o.do_sample = true, o.top_p = NAN; }},
      {"repetition_penalty must be a number above 0", [](auto& o) { o.repetition_penalty = 0.0; }},
      {"length_penalty must be a finite number", [](auto& o) { o.num_beams = 2, o.length_penalty = INFINITY; }},
      {"max_length must be from 2", [](auto& o) { o.max_length = 1; }},
      {"max_new_tokens must be from 1", [](auto& o) { o.max_new_tokens = 0; }},
      {"min_length must be from 0", [](auto& o) { o.min_length = -1; }},
      {"min_new_tokens must be from 0", [](auto& o) { o.min_new_tokens = -3; }},
      {"no_repeat_ngram_size must be from 0", [](auto& o) { o.no_repeat_ngram_size = -1; }},
      {"encoder_no_repeat_ngram_size must be from 0", [](auto& o) { o.encoder_no_repeat_ngram_size = -1; }},
      {"temperature must be a number above 0 that is above 0 as a 32-bit float, too, but is 1e-300",
       [](auto& o) { o.do_sample = true, o.temperature = 1e-300; }},
      {"forced_eos_token_id forces a token that suppress_tokens forbids",
       [](auto& o) { o.forced_eos_token_id = TokenIds{2}, o.suppress_tokens = TokenIds{2, 3}; }},
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
  EXPECT_EQ(names.size(), 28u);
  EXPECT_EQ(fields.size(), 28u);
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

TEST(GenerationConfig, AValueOfAWrongTypeIsAnErrorForWhoUsesIt) {
  for (const auto& [fields, expected] :
       std::vector<std::pair<std::string, std::string>>{{R"("num_beams": "four")", "num_beams"},
                                                        {R"("num_beams": 1.5)", "num_beams"},
                                                        {R"("early_stopping": "always")", "\"never\""},
                                                        {R"("early_stopping": 0.5)", "\"never\""},
                                                        {R"("suppress_tokens": [2, "x"])", "suppress_tokens[1]"},
                                                        {R"("forced_bos_token_id": [1, 2])", "one token id"},
                                                        {R"("pad_token_id": 4294967296)", "pad_token_id"},
                                                        {R"("bad_words_ids": [5])", "bad_words_ids[0]"},
                                                        {R"("do_sample": "yes")", "do_sample"},
                                                        {R"("max_length": "142")", "max_length"}}) {
    const std::string error = error_of(ErrorCode::kInvalidFile, [&] { plan_of(fields); });
    EXPECT_THAT(error, HasSubstr(expected));
    EXPECT_THAT(error, HasSubstr("generation_config.json"));
  }
  EXPECT_THAT(error_of(ErrorCode::kInvalidFile, [] { read_all("[]"); }), HasSubstr("object"));
  EXPECT_EQ(plan_of(R"("max_length": "142")", {.max_length = 9}).max_length, 9) << "the caller's outweighs it";
  EXPECT_EQ(plan_of(R"("temperature": "hot", "top_p": "much")").num_beams, 1) << "nobody samples";
}

TEST(GenerationConfig, WhatNobodyUsesIsNotChecked) {
  for (const char* fields :
       {R"("temperature": 0.0, "do_sample": false)", R"("temperature": NaN, "top_p": Infinity, "top_k": -1)",
        R"("typical_p": 0.5, "min_p": 0.1, "epsilon_cutoff": 0.1, "top_h": 0.4)",
        R"("num_beam_groups": 4, "diversity_penalty": 1.0)", R"("num_beams": 2, "penalty_alpha": 0.6)",
        R"("num_beams": 2, "dola_layers": "high")", R"("top_p": 1.5, "do_sample": true)", R"("min_length": -1)",
        R"("no_repeat_ngram_size": -2)", R"("length_penalty": NaN)", R"("pad_token_id": -1)",
        R"("pad_token_id": 12345)", R"("suppress_tokens": [-1, 99])", R"("begin_suppress_tokens": [220, 50256])",
        R"("bad_words_ids": [[]])", R"("guidance_scale": 1, "token_healing": false)",
        R"("unknown": {"a": 1}, "use_cache": false, "cache_implementation": "hybrid")"}) {
    EXPECT_NO_THROW(plan_of(fields)) << fields;
  }
  EXPECT_EQ(plan_of(R"("suppress_tokens": [-1, 3, 99])").suppress_tokens, TokenIds{3});
  EXPECT_EQ(plan_of(R"("top_p": 1.5, "do_sample": true)").top_p, 1.0);
}

TEST(GenerationConfig, RefusesOptionsThatItWouldIgnore) {
  for (const char* fields :
       {R"("num_beams": 4, "num_beam_groups": 2)", R"("typical_p": 0.9, "do_sample": true)",
        R"("min_p": 0.1, "do_sample": true)", R"("penalty_alpha": 0.6)", R"("dola_layers": "high")",
        R"("stop_strings": ["x"])", R"("sequence_bias": [[[1], 2.0]])", R"("guidance_scale": 1.5)"}) {
    EXPECT_THAT(error_of(ErrorCode::kUnsupported, [&] { plan_of(fields); }), HasSubstr("does not have this option"));
  }
  EXPECT_EQ(read(R"({"num_beam_groups": 1, "diversity_penalty": 0.0, "renormalize_logits": null, "min_p": null})"),
            GenerationOptions());
}

TEST(GenerationConfig, ErrorsOfAFilesValuesNameTheFileAndTheKey) {
  for (const auto& [fields, expected] : std::vector<std::pair<std::string, std::string>>{
           {R"("max_length": 1)", "generation_config.json: max_length must be from 2"},
           {R"("num_beams": 0)", "generation_config.json: num_beams must be from 1"},
           {R"("do_sample": true, "temperature": 0)", "generation_config.json: temperature must be a number above 0"},
           {R"("forced_bos_token_id": 10)", "generation_config.json: forced_bos_token_id: the model's vocabulary"},
           {R"("num_return_sequences": 2)", "generation_config.json: num_return_sequences is 2, but greedy"}}) {
    EXPECT_THAT(error_of(ErrorCode::kInvalidFile, [&] { plan_of(fields); }), HasSubstr(expected));
  }
  const std::string given =
      error_of(ErrorCode::kInvalidArgument, [] { plan_of(R"("num_beams": 4)", {.num_beams = 0}); });
  EXPECT_THAT(given, testing::StartsWith("num_beams must be"));
}

TEST(GenerationConfig, NumbersAreAsPythonTakesThem) {
  EXPECT_EQ(plan_of(R"("num_beams": 4.0)").num_beams, 4);
  EXPECT_EQ(plan_of(R"("num_beams": 2, "early_stopping": 1)").early_stopping, EarlyStopping::kFalse)
      << "1 is not True, which is what transformers asks";
  EXPECT_TRUE(plan_of(R"("do_sample": 1)").do_sample);
  EXPECT_FALSE(plan_of(R"("renormalize_logits": 1)").renormalize_logits);
  EXPECT_TRUE(plan_of(R"("renormalize_logits": true)").renormalize_logits);
  EXPECT_TRUE(plan_of(R"("remove_invalid_values": true)").remove_invalid_values);
  EXPECT_EQ(plan_of(R"("decoder_start_token_id": [5], "forced_bos_token_id": [3])").forced_bos_token_id, 3);
}

TEST(GenerationConfig, OldBartsForceTheirFirstToken) {
  const auto legacy = [](std::string_view json) {
    return read_legacy_config(JsonDocument::parse(json, "config.json").root()).options.forced_bos_token_id;
  };
  EXPECT_EQ(legacy(R"({"bos_token_id": 4, "force_bos_token_to_be_generated": true})"), 4);
  EXPECT_EQ(legacy(R"({"bos_token_id": 4, "forced_bos_token_id": 5, "force_bos_token_to_be_generated": true})"), 4);
  EXPECT_EQ(legacy(R"({"bos_token_id": 4, "force_bos_token_to_be_generated": false})"), std::nullopt);
  // transformers reads the flag of a generation_config.json only where that was made of a config.json.
  EXPECT_EQ(read(R"({"bos_token_id": 4, "force_bos_token_to_be_generated": true})").forced_bos_token_id, std::nullopt);
  EXPECT_EQ(read(R"({"bos_token_id": 4, "force_bos_token_to_be_generated": true, "_from_model_config": true})")
                .forced_bos_token_id,
            4);
}

TEST(Resolve, WhatCannotBeKeptIsAWarning) {
  const GenerationPlan minimum = plan_of(R"("min_length": 56)", {.max_length = 50});
  EXPECT_EQ(minimum.max_length, 50);
  EXPECT_EQ(minimum.min_length, 56);
  EXPECT_THAT(minimum.warnings,
              testing::ElementsAre(HasSubstr("generation_config.json: min_length asks for at least")));

  const GenerationPlan length = plan_of(R"("max_length": 1026)");
  EXPECT_EQ(length.max_length, 1026);
  EXPECT_EQ(length.longest, 65) << "the last token needs no position";
  EXPECT_THAT(length.warnings, testing::ElementsAre(HasSubstr("the decoder has 64 positions")));

  const GenerationPlan tokens = plan_of(R"("max_new_tokens": 7)", {.max_length = 50});
  EXPECT_EQ(tokens.max_length, 8) << "as in transformers";
  EXPECT_THAT(tokens.warnings, testing::ElementsAre(HasSubstr("max_new_tokens 7 outweighs max_length")));
  EXPECT_THAT(plan_of(R"("max_time": 3.0)").warnings, testing::ElementsAre(HasSubstr("max_time: is not honoured")));
}

TEST(Resolve, WhatIsSwitchedOffIsAsIfNobodyHadSetIt) {
  const std::string fields = R"("forced_bos_token_id": 3, "forced_eos_token_id": 2, "num_beams": 4, "bos_token_id": 5)";
  EXPECT_EQ(plan_of(fields).forced_bos_token_id, 3);
  GenerationOptions off;
  off.none = {"forced_bos_token_id", "forced_eos_token_id", "num_beams", "decoder_start_token_id", "eos_token_id"};
  const GenerationPlan plan = plan_of(fields, off);
  EXPECT_EQ(plan.forced_bos_token_id, std::nullopt);
  EXPECT_THAT(plan.forced_eos_token_id, testing::IsEmpty());
  EXPECT_THAT(plan.eos_token_id, testing::IsEmpty());
  EXPECT_EQ(plan.num_beams, 1);
  EXPECT_EQ(plan.decoder_start_token_id, 5);
  GenerationOptions model;
  model.num_beams = 7;
  EXPECT_EQ(off.over(model).num_beams, std::nullopt);
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
  EXPECT_EQ(read_generation_config(bare.root(), &config_root).options, expected);

  const JsonDocument full = JsonDocument::parse(R"({"bos_token_id": 1})", "generation_config.json");
  GenerationOptions with_bos;
  with_bos.bos_token_id = 1;
  EXPECT_EQ(read_generation_config(full.root(), &config_root).options, with_bos);
}

TEST(LegacyConfig, TheTaskCountsWhereItIsAskedFor) {
  const JsonDocument config = JsonDocument::parse(R"({
      "vocab_size": 50265, "model_type": "bart", "num_beams": 4, "max_length": 62, "min_length": 11, "eos_token_id": 2,
      "task_specific_params": {
        "summarization": {"max_length": 142, "min_length": 56, "length_penalty": 2.0, "early_stopping": true},
        "translation": {"num_beams": 9}}})",
                                                  "config.json");
  GenerationOptions expected;
  expected.num_beams = 4;
  expected.max_length = 62;
  expected.min_length = 11;
  expected.eos_token_id = TokenIds{2};
  EXPECT_EQ(read_legacy_config(config.root()).options, expected) << "as generate() has it";
  expected.max_length = 142;
  expected.min_length = 56;
  expected.length_penalty = 2.0;
  expected.early_stopping = EarlyStopping::kTrue;
  const CheckpointGeneration found = read_task_params(config.root()).over(read_legacy_config(config.root()));
  EXPECT_EQ(found.options, expected) << "as the pipeline had it";
  EXPECT_EQ(found.where.find("max_length")->second, "config.json: task_specific_params.summarization.max_length");
}

TEST(LegacyConfig, NoTaskIsNoError) {
  for (const char* json : {R"({"num_beams": 3})", R"({"num_beams": 3, "task_specific_params": null})",
                           R"({"num_beams": 3, "task_specific_params": {"translation": {"num_beams": 9}}})"}) {
    const JsonDocument config = JsonDocument::parse(json, "config.json");
    EXPECT_EQ(read_task_params(config.root()).options, GenerationOptions());
  }
}

}  // namespace
}  // namespace remuda
