#include "text/post_processor.h"

#include <string_view>

#include "text/components.h"

namespace remuda::text {
namespace {

constexpr int64_t kMaxSpecialTokens = 64;

struct Parsed {
  int32_t id_limit;
  SpecialTokens tokens;
};

int32_t parse_id(const JsonValue& json, const Parsed& parsed) {
  return static_cast<int32_t>(json.as_int(0, int64_t{parsed.id_limit} - 1));
}

// ["[SEP]", 102]
int32_t parse_pair(const JsonValue& json, const Parsed& parsed) {
  const std::vector<JsonValue> items = json.items();
  if (items.size() != 2) json.fail_expected("a token and its id");
  return parse_id(items[1], parsed);
}

// Later processors go around what the earlier ones made.
void wrap(Parsed& parsed, const std::vector<int32_t>& before, const std::vector<int32_t>& after) {
  SpecialTokens& tokens = parsed.tokens;
  tokens.before.insert(tokens.before.begin(), before.begin(), before.end());
  tokens.after.insert(tokens.after.end(), after.begin(), after.end());
}

// BertProcessing and RobertaProcessing: <cls> sequence <sep>.
void parse_cls_sep(const JsonValue& json, Parsed& parsed) {
  const int32_t cls = parse_pair(json.at("cls"), parsed);
  const int32_t sep = parse_pair(json.at("sep"), parsed);
  wrap(parsed, {cls}, {sep});
}

void parse_template(const JsonValue& json, Parsed& parsed) {
  std::vector<int32_t> before;
  std::vector<int32_t> after;
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
      (sequence_seen ? after : before).push_back(parse_id(id, parsed));
    }
    if (std::ssize(before) + std::ssize(after) > kMaxSpecialTokens) {
      single.fail_expected(fmt::format("at most {} special tokens", kMaxSpecialTokens));
    }
  }
  if (!sequence_seen) single.fail_expected("a Sequence");
  wrap(parsed, before, after);
}

void parse_step(const JsonValue& json, Parsed& parsed) {
  static const Component<Parsed> kKnown[] = {
      {"BertProcessing", parse_cls_sep},
      {"RobertaProcessing", parse_cls_sep},
      {"Sequence",
       [](const JsonValue& value, Parsed& to) {
         for (const JsonValue& step : value.at("processors").items()) parse_step(step, to);
       }},
      {"TemplateProcessing", parse_template},
  };
  parse_component<Parsed>(json, kKnown, parsed);
  if (parsed.tokens.size() > kMaxSpecialTokens) {
    json.fail_expected(fmt::format("at most {} special tokens", kMaxSpecialTokens));
  }
}

}  // namespace

SpecialTokens parse_post_processor(const std::optional<JsonValue>& json, int32_t id_limit) {
  Parsed parsed{id_limit, {}};
  if (json) parse_step(*json, parsed);
  return std::move(parsed.tokens);
}

}  // namespace remuda::text
