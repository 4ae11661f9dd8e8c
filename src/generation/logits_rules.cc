#include "generation/logits_rules.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

namespace remuda {

namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// Up to here the k greatest are kept sorted while a row is scanned; beyond it selecting from a copy is cheaper.
constexpr int64_t kMaxScannedTopK = 512;

void forbid(std::span<float> scores, int32_t token) {
  // An encoder's vocabulary may be larger than the logits' row.
  if (static_cast<size_t>(token) < scores.size()) scores[static_cast<size_t>(token)] = kForbidden;
}

}  // namespace

void penalize_repetition(std::span<float> scores, std::span<const int32_t> ids, float penalty,
                         std::vector<float>& scratch) {
  // All are read before any is written, so that a token that stands twice is penalised once.
  scratch.clear();
  for (const int32_t id : ids) {
    const float score = scores[static_cast<size_t>(id)];
    scratch.push_back(score < 0 ? score * penalty : score / penalty);
  }
  for (size_t i = 0; i < ids.size(); ++i) scores[static_cast<size_t>(ids[i])] = scratch[i];
}

void forbid_ngrams(std::span<float> scores, std::span<const int32_t> ids, std::span<const int32_t> source,
                   int64_t size) {
  const auto prefix_size = static_cast<size_t>(size - 1);
  if (ids.size() < prefix_size) return;
  const auto prefix = ids.last(prefix_size);
  for (size_t begin = 0; begin + prefix_size < source.size(); ++begin) {
    if (std::ranges::equal(prefix, source.subspan(begin, prefix_size))) forbid(scores, source[begin + prefix_size]);
  }
}

void forbid_words(std::span<float> scores, std::span<const int32_t> ids, std::span<const TokenIds> words) {
  for (const TokenIds& word : words) {
    const auto prefix = std::span(word).first(word.size() - 1);
    if (prefix.size() <= ids.size() && std::ranges::equal(prefix, ids.last(prefix.size()))) {
      forbid(scores, word.back());
    }
  }
}

void forbid_tokens(std::span<float> scores, std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) forbid(scores, token);
}

void force_tokens(std::span<float> scores, std::span<const int32_t> tokens) {
  std::ranges::fill(scores, kForbidden);
  for (const int32_t token : tokens) scores[static_cast<size_t>(token)] = 0.0f;
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
  const float max = *std::ranges::max_element(scores);
  double sum = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] == kForbidden) continue;
    scratch.push_back({scores[i], static_cast<int64_t>(i)});
    sum += std::exp(static_cast<double>(scores[i] - max));
  }
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
      begin_length_(plan_->forced_bos_token_id ? 2 : 1) {}

void LogitsRules::process(std::span<float> scores, std::span<const int32_t> ids) {
  const GenerationPlan& plan = *plan_;
  const auto length = static_cast<int64_t>(ids.size());
  if (plan.repetition_penalty != 1.0) {
    penalize_repetition(scores, ids, static_cast<float>(plan.repetition_penalty), floats_);
  }
  if (plan.no_repeat_ngram_size > 0) forbid_ngrams(scores, ids, ids, plan.no_repeat_ngram_size);
  if (plan.encoder_no_repeat_ngram_size > 0) {
    forbid_ngrams(scores, ids, encoder_ids_, plan.encoder_no_repeat_ngram_size);
  }
  forbid_words(scores, ids, plan.bad_words_ids);
  if (length < plan.min_length) forbid_tokens(scores, plan.eos_token_id);
  if (plan.forced_bos_token_id && length == 1) force_tokens(scores, {&*plan.forced_bos_token_id, 1});
  if (!plan.forced_eos_token_id.empty() && length == plan.max_length - 1) {
    force_tokens(scores, plan.forced_eos_token_id);
  }
  forbid_tokens(scores, plan.suppress_tokens);
  if (length == begin_length_) forbid_tokens(scores, plan.begin_suppress_tokens);
}

void LogitsRules::warp(std::span<float> scores) {
  const GenerationPlan& plan = *plan_;
  // Beams need something to go on with besides every way to end.
  const auto endings = static_cast<int64_t>(plan.eos_token_id.size());
  const int64_t min_tokens = plan.num_beams > 1 ? std::max<int64_t>(endings, 1) + 1 : 1;
  if (plan.temperature != 1.0) scale_by_temperature(scores, static_cast<float>(plan.temperature));
  if (plan.top_k > 0) keep_top_k(scores, std::max(plan.top_k, min_tokens), top_, floats_);
  if (plan.top_p < 1.0) keep_top_p(scores, plan.top_p, min_tokens, candidates_);
}

}  // namespace remuda
