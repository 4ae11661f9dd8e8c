#include "text/post_processor.h"

#include <string_view>

#include "text/components.h"

namespace remuda::text {
namespace {

constexpr int64_t kMaxSpecialTokens = 64;

struct Parsed {
  const Vocabulary* vocabulary;
  const AddedTokens* added_tokens;
  std::optional<SpecialTokens> tokens;
};

int32_t parse_id(const JsonValue& json, const Parsed& parsed) {
  const auto id = static_cast<int32_t>(json.as_int(0, Vocabulary::kMaxId));
  if (!parsed.vocabulary->token(id) && !parsed.added_tokens->token(id)) json.fail_expected("the id of a token");
  return id;
}

// ["[SEP]", 102]
int32_t parse_pair(const JsonValue& json, const Parsed& parsed) {
  const auto items = json.items();
  if (items.size() != 2) json.fail_expected("a token and its id");
  return parse_id(items[1], parsed);
}

void set_tokens(const JsonValue& json, SpecialTokens tokens, Parsed& parsed) {
  // Hugging Face gives each of the special tokens that the first one added a sequence's special tokens of its own.
  if (parsed.tokens) {
    fail(ErrorCode::kUnsupported, "{}: expected one post-processor that adds special tokens, found another",
         json.where());
  }
  parsed.tokens = std::move(tokens);
}

// BertProcessing and RobertaProcessing: <cls> sequence <sep>.
void parse_cls_sep(const JsonValue& json, Parsed& parsed) {
  const int32_t cls = parse_pair(json.at("cls"), parsed);
  const int32_t sep = parse_pair(json.at("sep"), parsed);
  set_tokens(json, {{cls}, {sep}}, parsed);
}

void parse_template(const JsonValue& json, Parsed& parsed) {
  SpecialTokens tokens;
  bool sequence_seen = false;
  const JsonValue single = json.at("single");
  for (const JsonValue& piece : single.items()) {
    if (const auto sequence = piece.find("Sequence")) {
      if (sequence->at("id").as_string() != "A") sequence->at("id").fail_expected("\"A\"");
      if (sequence_seen) piece.fail_expected("one Sequence, and special tokens around it");
      sequence_seen = true;
      continue;
    }
    const JsonValue token = piece.at("SpecialToken").at("id");
    const JsonValue special = json.at("special_tokens").at(token.as_string());
    for (const JsonValue& id : special.at("ids").items()) {
      (sequence_seen ? tokens.after : tokens.before).push_back(parse_id(id, parsed));
    }
    if (tokens.size() > kMaxSpecialTokens) {
      single.fail_expected(fmt::format("at most {} special tokens", kMaxSpecialTokens));
    }
  }
  if (!sequence_seen) single.fail_expected("a Sequence");
  set_tokens(json, std::move(tokens), parsed);
}

void parse_step(const JsonValue& json, Parsed& parsed) {
  static const Component<Parsed> kKnown[] = {
      {"BertProcessing", parse_cls_sep},
      {"ByteLevel", [](const JsonValue&, Parsed&) {}},  // It concerns offsets alone.
      {"RobertaProcessing", parse_cls_sep},
      {"Sequence",
       [](const JsonValue& value, Parsed& to) {
         for (const JsonValue& step : value.at("processors").items()) parse_step(step, to);
       }},
      {"TemplateProcessing", parse_template},
  };
  parse_component<Parsed>(json, kKnown, parsed);
}

}  // namespace

SpecialTokens parse_post_processor(const std::optional<JsonValue>& json, const Vocabulary& vocabulary,
                                   const AddedTokens& added_tokens) {
  Parsed parsed{&vocabulary, &added_tokens, std::nullopt};
  if (json) parse_step(*json, parsed);
  return parsed.tokens.value_or(SpecialTokens());
}

}  // namespace remuda::text
