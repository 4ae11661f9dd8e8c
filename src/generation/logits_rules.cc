#include "generation/logits_rules.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "base/fail.h"

namespace remuda {

namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// Up to here the k greatest are kept sorted while a row is scanned; beyond it selecting from a copy is cheaper.
constexpr int64_t kMaxScannedTopK = 512;

}  // namespace

void find_ngram_ends(std::span<const int32_t> ids, std::span<const int32_t> source, int64_t size, TokenIds& found) {
  const auto prefix_size = static_cast<size_t>(size - 1);
  if (ids.size() < prefix_size) return;
  const auto prefix = ids.last(prefix_size);
  for (size_t begin = 0; begin + prefix_size < source.size(); ++begin) {
    if (std::ranges::equal(prefix, source.subspan(begin, prefix_size))) found.push_back(source[begin + prefix_size]);
  }
}

void find_word_ends(std::span<const int32_t> ids, std::span<const TokenIds> words, TokenIds& found) {
  for (const TokenIds& word : words) {
    const auto prefix = std::span(word).first(word.size() - 1);
    if (prefix.size() <= ids.size() && std::ranges::equal(prefix, ids.last(prefix.size()))) {
      found.push_back(word.back());
    }
  }
}

void penalize_tokens(std::span<float> scores, std::span<const int32_t> tokens, float penalty) {
  for (const int32_t token : tokens) {
    float& score = scores[static_cast<size_t>(token)];
    score = score < 0 ? score * penalty : score / penalty;
  }
}

void forbid_tokens(std::span<float> scores, std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) scores[static_cast<size_t>(token)] = kForbidden;
}

void force_tokens(std::span<float> scores, std::span<const int32_t> tokens) {
  std::ranges::fill(scores, kForbidden);
  for (const int32_t token : tokens) scores[static_cast<size_t>(token)] = 0.0f;
}

void remove_invalid_values(std::span<float> scores) {
  constexpr float kMost = std::numeric_limits<float>::max();
  for (float& score : scores) score = std::isnan(score) ? 0.0f : std::clamp(score, -kMost, kMost);
}

void scale_by_temperature(std::span<float> scores, float temperature) {
  for (float& score : scores) score /= temperature;
}

void keep_top_k(std::span<float> scores, int64_t k, TopCandidates& top, std::vector<float>& scratch) {
  if (k >= static_cast<int64_t>(scores.size())) return;
  float least;
  if (k <= kMaxScannedTopK) {
    top.reset(k);
    top.scan(scores, 0.0f, 0);
    least = top.best().back().score;
  } else {
    scratch.assign(scores.begin(), scores.end());
    std::nth_element(scratch.begin(), scratch.begin() + (k - 1), scratch.end(), std::greater<>());
    least = scratch[static_cast<size_t>(k - 1)];
  }
  for (float& score : scores) score = score < least ? kForbidden : score;
}

void keep_top_p(std::span<float> scores, double p, int64_t min_tokens, std::vector<Candidate>& scratch) {
  // transformers sorts everything; a heap gives the most probable in turn, and most of the row is never sorted.
  scratch.clear();
  const ScoreRows rows;
  const float max = scores[static_cast<size_t>(rows.argmax(scores))];
  double sum = 0;
  rows.for_each_possible(scores, [&](int64_t i) {
    const float score = scores[static_cast<size_t>(i)];
    scratch.push_back({score, i});
    sum += std::exp(static_cast<double>(score - max));
  });
  const auto less = [](const Candidate& a, const Candidate& b) {
    return std::pair(a.score, a.index) < std::pair(b.score, b.index);
  };
  std::make_heap(scratch.begin(), scratch.end(), less);
  auto end = scratch.end();
  double mass = 0;
  for (int64_t kept = 0; end != scratch.begin() && (kept < min_tokens || mass < p * sum); ++kept) {
    std::pop_heap(scratch.begin(), end, less);
    mass += std::exp(static_cast<double>((--end)->score - max));
  }
  for (auto it = scratch.begin(); it != end; ++it) scores[static_cast<size_t>(it->index)] = kForbidden;
}

LogitsRules::LogitsRules(std::shared_ptr<const GenerationPlan> plan, std::span<const int32_t> encoder_ids)
    : plan_(std::move(plan)),
      encoder_ids_(encoder_ids.begin(), encoder_ids.end()),
      // After a forced first token the sequence begins with the one behind it.
      begin_length_(plan_->forced_bos_token_id ? 2 : 1) {
  if (plan_->encoder_repetition_penalty == 1.0) return;
  add_once(encoder_ids_, encoder_tokens_);
}

void LogitsRules::find(std::span<const int32_t> ids, TokenRules& rules) {
  const auto length = static_cast<int64_t>(ids.size());
  rules.penalized.clear();
  rules.penalty = static_cast<float>(plan_->repetition_penalty);
  rules.forbidden.clear();
  const std::span<const int32_t> must = forced(length);
  rules.is_forced = !must.empty();
  rules.forced.assign(must.begin(), must.end());
  add_suppressed(length, rules.forbidden);
  if (rules.is_forced) {
    std::ranges::sort(rules.forced);
    const auto same = std::ranges::unique(rules.forced);
    rules.forced.erase(same.begin(), same.end());
    std::erase_if(rules.forced,
                  [&](int32_t token) { return std::ranges::find(rules.forbidden, token) != rules.forbidden.end(); });
    rules.forbidden.clear();
    return;
  }
  if (plan_->repetition_penalty != 1.0) add_once(ids, rules.penalized);
  add_forbidden(ids, rules.forbidden);
}

std::span<const int32_t> LogitsRules::forced(int64_t length) const {
  const GenerationPlan& plan = *plan_;
  if (!plan.forced_eos_token_id.empty() && length == plan.max_length - 1) return plan.forced_eos_token_id;
  if (plan.forced_bos_token_id && length == 1) return {&*plan.forced_bos_token_id, 1};
  return {};
}

void LogitsRules::add_once(std::span<const int32_t> ids, TokenIds& tokens) {
  constexpr int32_t kBits = 64;
  seen_.resize(static_cast<size_t>((plan_->vocabulary + kBits - 1) / kBits));
  for (const int32_t id : ids) {
    if (id < 0 || id >= plan_->vocabulary) continue;
    uint64_t& bits = seen_[static_cast<size_t>(id / kBits)];
    const uint64_t bit = uint64_t{1} << (id % kBits);
    if ((bits & bit) == 0) tokens.push_back(id);
    bits |= bit;
  }
  for (const int32_t id : tokens) seen_[static_cast<size_t>(id / kBits)] = 0;
}

void LogitsRules::add_forbidden(std::span<const int32_t> ids, TokenIds& tokens) const {
  const GenerationPlan& plan = *plan_;
  if (plan.no_repeat_ngram_size > 0) find_ngram_ends(ids, ids, plan.no_repeat_ngram_size, tokens);
  if (plan.encoder_no_repeat_ngram_size > 0) {
    find_ngram_ends(ids, encoder_ids_, plan.encoder_no_repeat_ngram_size, tokens);
    // An encoder's vocabulary may be larger than the logits' rows.
    std::erase_if(tokens, [&plan](int32_t token) { return token < 0 || token >= plan.vocabulary; });
  }
  find_word_ends(ids, plan.bad_words_ids, tokens);
  if (static_cast<int64_t>(ids.size()) < plan.min_length) {
    tokens.insert(tokens.end(), plan.eos_token_id.begin(), plan.eos_token_id.end());
  }
}

void LogitsRules::add_suppressed(int64_t length, TokenIds& tokens) const {
  const auto add = [&tokens](const TokenIds& more) { tokens.insert(tokens.end(), more.begin(), more.end()); };
  add(plan_->suppress_tokens);
  if (length == begin_length_) add(plan_->begin_suppress_tokens);
}

void LogitsRules::process(std::span<float> scores, std::span<const int32_t> ids) {
  // What favours the document's tokens is a penalty below 1.
  penalize_tokens(scores, encoder_tokens_, static_cast<float>(1.0 / plan_->encoder_repetition_penalty));
  find(ids, rules_);
  if (rules_.is_forced) {
    force_tokens(scores, rules_.forced);
  } else {
    penalize_tokens(scores, rules_.penalized, rules_.penalty);
    forbid_tokens(scores, rules_.forbidden);
  }
  if (!plan_->remove_invalid_values) return;
  remove_invalid_values(scores);
  // What is suppressed is so after that.
  rules_.forbidden.clear();
  add_suppressed(static_cast<int64_t>(ids.size()), rules_.forbidden);
  forbid_tokens(scores, rules_.forbidden);
}

void LogitsRules::warp(std::span<float> scores) {
  const GenerationPlan& plan = *plan_;
  // Beams need something to go on with besides every way to end.
  const auto endings = static_cast<int64_t>(plan.eos_token_id.size());
  const int64_t min_tokens = plan.num_beams > 1 ? std::max<int64_t>(endings, 1) + 1 : 1;
  if (plan.temperature != 1.0) scale_by_temperature(scores, static_cast<float>(plan.temperature));
  if (std::ranges::find(scores, std::numeric_limits<float>::infinity()) != scores.end()) {
    fail(ErrorCode::kInvalidArgument, "temperature {} is so low that scores divided by it are infinite; raise it",
         plan.temperature);
  }
  if (plan.top_k > 0) keep_top_k(scores, std::max(plan.top_k, min_tokens), top_, floats_);
  if (plan.top_p < 1.0) keep_top_p(scores, plan.top_p, min_tokens, candidates_);
}

}  // namespace remuda
