// The tests of ranking rows of logits, for both machines, as in kernel_cases.h.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/cuda/ranking_body.h"
#include "kernels/cuda/testing/kernel_cases.h"

namespace remuda::kernels::cuda {

struct RuledRow {
  std::vector<float> logits;
  std::vector<int32_t> penalized = {};
  std::vector<int32_t> forbidden = {};
  float penalty = 1.0f;
  bool rules_come_first = false;
};

struct Ranked {
  std::vector<float> scores;  // [rows, k]
  std::vector<int32_t> tokens;
};

// Rows of one length; what lies between them is no number.
template <class Runner>
Ranked run_ranking(Runner& runner, CaseReport& report, const std::string& what, const std::vector<RuledRow>& rows,
                   int k) {
  const size_t vocabulary = rows.front().logits.size();
  const size_t stride = (vocabulary + 7) / 4 * 4;
  std::vector<float> logits(rows.size() * stride, std::numeric_limits<float>::quiet_NaN());
  std::vector<int32_t> tokens;
  std::vector<RankingRules> rules;
  const auto add = [&](const std::vector<int32_t>& list) {
    tokens.insert(tokens.end(), list.begin(), list.end());
    return static_cast<int32_t>(tokens.size() - list.size());
  };
  for (size_t r = 0; r < rows.size(); ++r) {
    std::copy(rows[r].logits.begin(), rows[r].logits.end(), logits.begin() + static_cast<int64_t>(r * stride));
    rules.push_back({.penalized = add(rows[r].penalized),
                     .num_penalized = static_cast<int32_t>(rows[r].penalized.size()),
                     .forbidden = add(rows[r].forbidden),
                     .num_forbidden = static_cast<int32_t>(rows[r].forbidden.size()),
                     .penalty = rows[r].penalty,
                     .rules_come_first = rows[r].rules_come_first ? 1 : 0});
  }
  tokens.push_back(-1);
  const GuardedOutput<float, Runner> scores(runner, rows.size() * static_cast<size_t>(k));
  const GuardedOutput<int32_t, Runner> best(runner, rows.size() * static_cast<size_t>(k));
  runner.rank(RankingParams{.logits = runner.upload(logits),
                            .logits_stride = static_cast<int64_t>(stride),
                            .rows = static_cast<int64_t>(rows.size()),
                            .vocabulary = static_cast<int>(vocabulary),
                            .k = k,
                            .rules = runner.upload(rules),
                            .tokens = runner.upload(tokens),
                            .scores = scores.data(),
                            .best = best.data()});
  return {scores.read(report, what), best.read(report, what)};
}

// By the definition: scores in float, the sum in double. `log_p` of each token, and what tokens are compared by.
struct RankingReference {
  explicit RankingReference(const RuledRow& row) : log_p(row.logits), compared(row.logits) {
    if (row.rules_come_first) apply(row, log_p);
    compared = log_p;
    const float maximum = *std::max_element(log_p.begin(), log_p.end());
    double sum = 0.0;
    for (const float x : log_p) sum += std::exp(static_cast<double>(x) - static_cast<double>(maximum));
    const auto log_sum = static_cast<float>(std::log(sum));
    for (float& x : log_p) x = (x - maximum) - log_sum;
    if (!row.rules_come_first) {
      apply(row, log_p);
      compared = log_p;
    }
    order.resize(log_p.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return std::pair(-compared[static_cast<size_t>(a)], a) < std::pair(-compared[static_cast<size_t>(b)], b);
    });
  }

  static void apply(const RuledRow& row, std::vector<float>& scores) {
    for (const int32_t token : row.penalized) {
      float& score = scores[static_cast<size_t>(token)];
      score = score < 0.0f ? score * row.penalty : score / row.penalty;
    }
    for (const int32_t token : row.forbidden) {
      scores[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
    }
  }

  std::vector<float> log_p;
  std::vector<float> compared;
  std::vector<int32_t> order;
};

// `exact`: the scores are far enough apart, or so much the same, that the last bits of a sum change no order.
template <class Runner>
void ranking_case(Runner& runner, CaseReport& report, const std::string& name, const std::vector<RuledRow>& rows,
                  int k) {
  const std::string what =
      "rank " + name + ", " + std::to_string(k) + " of " + std::to_string(rows.front().logits.size());
  const Ranked found = run_ranking(runner, report, what, rows, k);
  for (size_t r = 0; r < rows.size(); ++r) {
    const RankingReference reference(rows[r]);
    for (size_t i = 0; i < static_cast<size_t>(k); ++i) {
      const size_t at = r * static_cast<size_t>(k) + i;
      const int32_t token = reference.order[i];
      if (found.tokens[at] != token) {
        report.add(what + ": row " + std::to_string(r) + ", place " + std::to_string(i) + ": token " +
                   std::to_string(found.tokens[at]) + " for " + std::to_string(token));
      }
      const float expected = reference.log_p[static_cast<size_t>(token)];
      ++report.compared;
      if (std::isinf(expected) || std::isinf(found.scores[at])) {
        if (found.scores[at] != expected) report.add(what + ": an infinity");
        continue;
      }
      expect_near(report, what, static_cast<double>(found.scores[at]), static_cast<double>(expected), {5e-7, 3e-6});
    }
  }
}

// Logits in steps of a quarter, so that there are equals among the greatest and at the end of what is asked for, with
// each kind of rules.
inline std::vector<RuledRow> ruled_rows(int vocabulary, uint32_t seed) {
  Numbers numbers(seed);
  std::vector<RuledRow> rows(6);
  for (size_t r = 0; r < rows.size(); ++r) {
    RuledRow& row = rows[r];
    row.logits = numbers.normal<float>(static_cast<size_t>(vocabulary), 3.0f);
    for (float& logit : row.logits) logit = std::round(logit * 4.0f) / 4.0f;
    row.rules_come_first = r % 2 == 1;
    const size_t some = static_cast<size_t>(vocabulary) / 3 + 1;
    if (r >= 2) row.penalized = numbers.below(some, vocabulary);
    std::sort(row.penalized.begin(), row.penalized.end());
    row.penalized.erase(std::unique(row.penalized.begin(), row.penalized.end()), row.penalized.end());
    if (r >= 2) row.penalty = r < 4 ? 1.5f : 0.5f;
    if (r >= 4) row.forbidden = numbers.below(some, vocabulary);  // Some twice, some penalized, too.
  }
  return rows;
}

// Nearly all forbidden, so that some of the best are minus infinity.
inline std::vector<RuledRow> forbidden_rows(int vocabulary) {
  std::vector<RuledRow> rows = ruled_rows(vocabulary, 9);
  for (RuledRow& row : rows) {
    row.forbidden.clear();
    for (int32_t token = 0; token < vocabulary; ++token) {
      if (token % (vocabulary / 2) != 1) row.forbidden.push_back(token);
    }
  }
  return rows;
}

// The greatest are those of k - 1 threads, more of them than a block compares.
inline std::vector<RuledRow> crowded_rows(int k) {
  std::vector<RuledRow> rows(2);
  const int vectors_of_thread = kRankingCandidates / (kRowVector * (k - 1)) + 2;
  for (RuledRow& row : rows) {
    for (int token = 0; token < kRankingThreads * kRowVector * vectors_of_thread; ++token) {
      const bool crowd = token / kRowVector % kRankingThreads < k - 1;
      row.logits.push_back(crowd ? 1.0f + static_cast<float>(token) / 8192.0f : -5.0f);
    }
  }
  rows[1].rules_come_first = true;
  return rows;
}

// A NaN, an infinity, nothing but minus infinity, and rules that leave nothing: no score is a number.
template <class Runner>
void ranking_broken_case(Runner& runner, CaseReport& report) {
  const std::string what = "rank a broken row";
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const bool first : {false, true}) {
    std::vector<RuledRow> rows = {{.logits = {1.0f, kNan, 3.0f, kNan, 2.0f}},
                                  {.logits = {0.0f, kInfinity, 2.0f, 3.0f, 4.0f}},
                                  {.logits = {-kInfinity, -kInfinity, -kInfinity, -kInfinity, -kInfinity}},
                                  {.logits = {kNan, kNan, kNan, kNan, kNan}},
                                  {.logits = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f}}};
    if (first) rows.back().forbidden = {0, 1, 2, 3, 4};
    for (RuledRow& row : rows) row.rules_come_first = first;
    const Ranked found = run_ranking(runner, report, what, rows, 3);
    for (size_t i = 0; i < found.scores.size(); ++i) {
      ++report.compared;
      const bool broken = i / 3 < 4 || first;
      if (std::isnan(found.scores[i]) != broken) report.add(what + ": row " + std::to_string(i / 3));
      if ((found.tokens[i] == -1) != broken) report.add(what + ": token " + std::to_string(found.tokens[i]));
    }
  }
}

template <class Runner>
void ranking_cases(Runner& runner, CaseReport& report, bool large) {
  ranking_case(runner, report, "any", ruled_rows(1000, 1), 10);
  std::vector<RuledRow> one = ruled_rows(1, 2);
  one.resize(4);  // The next one's rules leave nothing.
  ranking_case(runner, report, "one", one, 1);
  ranking_case(runner, report, "all", ruled_rows(255, 3), 255);
  ranking_case(runner, report, "few", ruled_rows(2049, 4), 1);
  ranking_case(runner, report, "forbidden", forbidden_rows(600), 9);
  ranking_case(runner, report, "crowded", crowded_rows(40), 40);
  ranking_broken_case(runner, report);
  if (large) ranking_case(runner, report, "large", ruled_rows(50265, 5), 17);
}

}  // namespace remuda::kernels::cuda
