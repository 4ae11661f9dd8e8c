#include "text/tokenizer_class.h"

#include <algorithm>

#include "base/fail.h"

namespace remuda::text {
namespace {

using Ends = TokenizerClass::Ends;

int32_t id_of(const AddedTokenList& list, const NamedTokens& named, std::string_view field) {
  const std::string& content = named.content(field);
  const auto id = list.find(content);
  if (!id) fail(ErrorCode::kInvalidFile, "{}: expected a token, found \"{}\"", field, content);
  return *id;
}

SpecialTokens make_ends(Ends ends, const NamedTokens& named, const AddedTokenList& list) {
  const auto id = [&](std::string_view field) { return id_of(list, named, field); };
  switch (ends) {
    case Ends::kClsSep:
      return {{id("cls_token")}, {id("sep_token")}};
    case Ends::kBosEos:
      return {{id("bos_token")}, {id("eos_token")}};
    case Ends::kEos:
      return {{}, {id("eos_token")}};
    case Ends::kSepCls:
      return {{}, {id("sep_token"), id("cls_token")}};
    case Ends::kHerbert:
      // The class writes these ids down, whatever the vocabulary says.
      return {{0}, {2}};
    case Ends::kPostProcessor:
      break;
  }
  return {};
}

// What stands beside a token of a single word is looked at in other ways there.
void seek_in_raw_text(std::vector<AddedToken>& tokens) {
  for (AddedToken& token : tokens) {
    if (token.single_word) {
      fail(ErrorCode::kUnsupported,
           "added token \"{}\": expected no single_word, which isn't supported for a class of Python code, found true",
           token.content);
    }
    token.normalized = false;
  }
}

}  // namespace

std::optional<SpecialTokens> requested_ends(const TokenizerConfig& config, const NamedTokens& named,
                                            const AddedTokenList& list) {
  const auto requested = [&](std::string_view field) {
    return config.beside_tokenizer_json() ? config.find_override(field) : config.find(field);
  };
  const auto bos = requested("add_bos_token");
  const auto eos = requested("add_eos_token");
  if (!bos && !eos) return std::nullopt;
  SpecialTokens ends;
  if (bos && bos->as_bool() && named.find("bos_token")) ends.before = {id_of(list, named, "bos_token")};
  if (eos && eos->as_bool() && named.find("eos_token")) ends.after = {id_of(list, named, "eos_token")};
  return ends;
}

NamedTokens::NamedTokens(const TokenizerConfig& config, std::span<const Default> defaults) {
  const auto& from_files = config.named_tokens();
  for (const std::string_view field : kNamedTokenFields) {
    const auto file = std::ranges::find(from_files, field, &TokenizerConfig::NamedToken::first);
    const auto own = std::ranges::find(defaults, field, &Default::field);
    if (file != from_files.end() && !file->second) continue;
    if (file == from_files.end() && own == defaults.end()) continue;
    TokenSetting token;
    if (file != from_files.end()) {
      token = *file->second;
    } else {
      token.content = own->content;
    }
    if (token.is_string && own != defaults.end()) token.lstrip = own->lstrip;
    tokens_.emplace_back(field, std::move(token));
  }
  for (const auto& [field, token] : from_files) {
    const bool is_own = std::ranges::find(kNamedTokenFields, field) == kNamedTokenFields.end();
    if (is_own && token) tokens_.emplace_back(field, *token);
  }
}

const TokenSetting* NamedTokens::find(std::string_view field) const {
  for (const auto& [name, token] : tokens_) {
    if (name == field) return &token;
  }
  return nullptr;
}

const std::string& NamedTokens::content(std::string_view field) const {
  const TokenSetting* token = find(field);
  if (token == nullptr) {
    fail(ErrorCode::kInvalidFile, "{}: expected a token, which this tokenizer can't do without, found null", field);
  }
  return token->content;
}

bool NamedTokens::has_content(std::string_view content) const {
  return std::ranges::any_of(tokens_, [&](const auto& named) { return named.second.content == content; });
}

void add_tokens(const TokenizerConfig& config, const NamedTokens& named, std::span<const std::string> extra,
                AddedTokenList& list) {
  for (TokenSetting token : config.added_tokens()) {
    // One that is there as the files have it stays as it is, though it be named.
    if (list.has(token.to_added_token())) continue;
    token.special |= named.has_content(token.content);
    list.add(token.to_added_token());
  }
  const auto add_missing = [&](TokenSetting token, bool special) {
    if (list.find(token.content)) return;
    token.special |= special;
    list.add(token.to_added_token());
  };
  for (const auto& [field, token] : named.tokens()) add_missing(token, true);
  if (const auto& from_files = config.extra_tokens()) {
    for (const TokenSetting& token : *from_files) add_missing(token, token.is_string);
  } else {
    for (const std::string& content : extra) {
      TokenSetting token;
      token.content = content;
      add_missing(std::move(token), true);
    }
  }
}

Tokenizer::Impl build_tokenizer(const TokenizerClass& recipe, const TokenizerConfig& config, VocabularyParts parts,
                                bool lower_case) {
  const NamedTokens named(config, recipe.special);
  const std::string source = parts.source;
  const auto post_processor = parts.post_processor;
  Pipeline pipeline = recipe.build(config, named, parts);
  Tokenizer::Impl impl;
  if (lower_case) prepend_lowercase(pipeline.normalizer);
  impl.normalizer = Normalizer(std::move(pipeline.normalizer));
  impl.pre_tokenizer = std::move(pipeline.pre_tokenizer);
  impl.model = std::move(pipeline.model);
  impl.decoder = std::move(pipeline.decoder);

  const Vocabulary& vocabulary = impl.model->vocabulary();
  AddedTokenList list(vocabulary, source);
  add_tokens(config, named, recipe.extra ? recipe.extra(config) : std::vector<std::string>(), list);
  std::vector<AddedToken> added(list.tokens().begin(), list.tokens().end());
  if (recipe.is_python) seek_in_raw_text(added);
  impl.added_tokens = AddedTokens(added, impl.normalizer, source, config.flag("split_special_tokens", false));
  if (recipe.ends != Ends::kPostProcessor) {
    impl.special_tokens = make_ends(recipe.ends, named, list);
  } else if (const auto ends = requested_ends(config, named, list)) {
    impl.special_tokens = *ends;
  } else {
    impl.special_tokens = parse_post_processor(post_processor, vocabulary, impl.added_tokens);
  }
  return impl;
}

}  // namespace remuda::text
