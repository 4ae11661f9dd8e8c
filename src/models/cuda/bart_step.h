// A step of a decoder on its way to a GPU: what the kernels read of it, in one copy, and where the results between the
// layers lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "kernels/cuda/decode_body.h"
#include "kernels/cuda/geometry.h"
#include "kernels/cuda/ranking_body.h"
#include "models/cuda/bart_weights.h"
#include "models/cuda/layers.h"
#include "models/cuda_bart.h"

namespace remuda::models::cuda {

using remuda::cuda::HostLimits;
using remuda::cuda::HostRowRules;
using remuda::cuda::HostStep;
using remuda::cuda::HostStepDocument;
using remuda::cuda::HostStepRoom;

// A document's memory.
template <class Element>
struct BartDocument {
  Element* cross;  // [decoder layers, encoder tokens, 2 * d_model]: keys and values side by side
  Element* log;    // [decoder layers][keys, values][max_rows * max_positions][d_model]
};
template <class Element>
BartDocument<Element> lay_out_document(const HostBart& host, int64_t tokens, const HostLimits& limits, Parts& parts) {
  const int64_t width = int64_t{2} * host.decoder.num_layers * host.d_model;
  return {.cross = parts.take<Element>(tokens * width),
          .log = parts.take<Element>(limits.max_rows * limits.max_positions * width)};
}

// What goes to the GPU, one piece of memory. The tables and lists of tokens lie in `numbers`, one behind the other.
struct StepInputs {
  int32_t* tokens;                      // [rows]
  int32_t* positions;                   // [rows]
  kernels::cuda::LogSequence* rows;     // [rows]
  kernels::cuda::AttentionTile* tiles;  // [rows], of which those that no document needs are empty
  const void** tile_keys;               // [rows]
  kernels::cuda::RankingRules* rules;   // [rows]
  int32_t* numbers;                     // As many as are used are copied.
};
inline StepInputs lay_out_inputs(const HostBart& host, const HostStepRoom& room, Parts& parts) {
  StepInputs inputs;
  inputs.tokens = parts.take<int32_t>(room.rows);
  inputs.positions = parts.take<int32_t>(room.rows);
  inputs.rows = parts.take<kernels::cuda::LogSequence>(room.rows);
  inputs.tiles = parts.take<kernels::cuda::AttentionTile>(room.rows);
  inputs.tile_keys = parts.take<const void*>(room.rows);
  inputs.rules = parts.take<kernels::cuda::RankingRules>(room.rows);
  inputs.numbers = parts.take<int32_t>(room.rule_tokens + room.rows * host.max_positions);
  return inputs;
}

// All that a decoder has on the GPU, for as many rows as there is room for.
template <class Element>
struct StepWorkspace {
  StepInputs inputs;
  LayerRows<Element> rows;
  float* logits;     // [rows, logits_columns()]
  int32_t* results;  // [rows, k] scores, then [rows, k] tokens, of as many rows as a step has
};
template <class Element>
StepWorkspace<Element> lay_out_step(const HostBart& host, const LayerShape& layers, const HostStepRoom& room,
                                    cudaStream_t stream, Parts& parts) {
  StepWorkspace<Element> workspace;
  workspace.inputs = lay_out_inputs(host, room, parts);
  workspace.rows = lay_out_rows<Element>(layers, room.rows, stream, parts);
  workspace.logits = parts.take<float>(room.rows * logits_columns(host));
  workspace.results = parts.take<int32_t>(2 * room.rows * room.k);
  return workspace;
}

inline void check_limits(const HostBart& host, int64_t encoder_tokens, const HostLimits& limits) {
  if (encoder_tokens >= 1 && encoder_tokens <= host.max_positions && limits.max_rows >= 1 &&
      limits.max_rows <= host.vocab_size && limits.max_positions >= 1 && limits.max_positions <= host.max_positions) {
    return;
  }
  refuse("document: expected 1 to " + std::to_string(host.max_positions) + " tokens and as many positions, and 1 to " +
         std::to_string(host.vocab_size) + " sequences, found " + std::to_string(encoder_tokens) + " tokens, " +
         std::to_string(limits.max_positions) + " positions and " + std::to_string(limits.max_rows) + " sequences");
}

inline void check_room(const HostBart& host, const HostStepRoom& room) {
  constexpr int64_t kMaxRows = 1 << 20;
  const bool fits = room.rows >= 1 && room.rows <= kMaxRows && room.k >= 0 && room.k <= remuda::cuda::kMaxRanked &&
                    room.rule_tokens >= 0 && room.rule_tokens <= kMaxRows * host.max_positions;
  if (!fits) refuse("room for steps: expected 1 to 2^20 rows, 0 to 512 ranked tokens, and no less than 0 of rules");
}

// Looks at what the host says of a step: what is out of range would read anywhere in the GPU's memory.
class StepCheck {
 public:
  StepCheck(const HostBart& host, const HostStepRoom& room, const HostStep& step) : host_(host) {
    if (step.num_documents < 1) refuse("step: expected at least one document");
    for (int64_t i = 0; i < step.num_documents; ++i) check_document(step.documents[i]);
    if (rows_ > room.rows) {
      refuse("step: expected up to " + std::to_string(room.rows) + " rows, found " + std::to_string(rows_));
    }
    check_ids(step.tokens, rows_, host.vocab_size, "step: expected tokens");
    if (step.k < 0 || step.k > room.k || step.k > host.vocab_size) {
      refuse("step: expected 0 to " + std::to_string(std::min<int64_t>(room.k, host.vocab_size)) +
             " ranked tokens, found " + std::to_string(step.k));
    }
    for (int64_t row = 0; row < rows_ && step.k > 0; ++row) check_rules(step.rules[row]);
    if (rule_tokens_ > room.rule_tokens) {
      refuse("step: expected up to " + std::to_string(room.rule_tokens) + " tokens of rules, found " +
             std::to_string(rule_tokens_));
    }
  }

  int64_t rows() const { return rows_; }

 private:
  void check_document(const HostStepDocument& document) {
    check_memory(document.memory, "document");
    check_limits(host_, document.encoder_tokens, document.limits);
    const HostLimits& limits = document.limits;
    if (document.rows < 1 || document.rows > limits.max_rows || document.length < 1 ||
        document.length > limits.max_positions) {
      refuse("step: expected 1 to " + std::to_string(limits.max_rows) + " rows at positions 1 to " +
             std::to_string(limits.max_positions) + " of a document, found " + std::to_string(document.rows) +
             " rows at position " + std::to_string(document.length));
    }
    const int64_t own = (document.length - 1) * limits.max_rows;
    for (int32_t row = 0; row < document.rows; ++row) {
      const int32_t* const table = document.tables + row * document.table_stride;
      check_ids(table, document.length - 1, static_cast<int32_t>(own), "step: expected rows of a document's log");
      if (table[document.length - 1] != own + row) {
        refuse("step: expected row " + std::to_string(own + row) +
               " of a document's log to be a sequence's own, found " + std::to_string(table[document.length - 1]));
      }
    }
    rows_ += document.rows;
  }

  void check_rules(const HostRowRules& rules) {
    if (rules.num_penalized < 0 || rules.num_forbidden < 0 || !(rules.penalty > 0.0f)) {
      refuse("step: expected a penalty of more than 0, and no less than 0 tokens");
    }
    check_ids(rules.penalized, rules.num_penalized, host_.vocab_size, "step: expected penalized tokens");
    check_ids(rules.forbidden, rules.num_forbidden, host_.vocab_size, "step: expected forbidden tokens");
    rule_tokens_ += int64_t{rules.num_penalized} + rules.num_forbidden;
  }

  const HostBart& host_;
  int64_t rows_ = 0;
  int64_t rule_tokens_ = 0;
};

// Writes the inputs of a step that was looked at to the host's memory, as they will be copied.
template <class Element>
class StepPacker {
 public:
  StepPacker(const HostBart& host, const HostStep& step, int64_t rows, int tile_queries, const StepInputs& to)
      : host_(host), tile_queries_(tile_queries), to_(to) {
    std::copy_n(step.tokens, rows, to.tokens);
    std::fill_n(to.tiles, rows, kernels::cuda::AttentionTile{});
    std::fill_n(to.tile_keys, rows, nullptr);
    for (int64_t row = 0; row < rows && step.k > 0; ++row) pack_rules(step.rules[row], to.rules[row]);
    for (int64_t i = 0; i < step.num_documents; ++i) pack(step.documents[i]);
  }

  // Entries of `numbers` that are used.
  int64_t numbers() const { return numbers_; }

 private:
  int32_t add(const int32_t* from, int64_t count) {
    std::copy_n(from, count, to_.numbers + numbers_);
    numbers_ += count;
    return static_cast<int32_t>(numbers_ - count);
  }

  void pack_rules(const HostRowRules& from, kernels::cuda::RankingRules& to) {
    to = {.penalized = add(from.penalized, from.num_penalized),
          .num_penalized = from.num_penalized,
          .forbidden = add(from.forbidden, from.num_forbidden),
          .num_forbidden = from.num_forbidden,
          .penalty = from.penalty,
          .rules_come_first = from.rules_come_first};
  }

  void pack(const HostStepDocument& document) {
    Parts parts(document.memory);
    const auto at = lay_out_document<Element>(host_, document.encoder_tokens, document.limits, parts);
    for (int32_t first = 0; first < document.rows; first += tile_queries_) {
      to_.tiles[tiles_] = {.key_row = 0,
                           .num_keys = static_cast<int32_t>(document.encoder_tokens),
                           .query_row = static_cast<int32_t>(rows_),
                           .num_queries = document.rows,
                           .first_query = first};
      to_.tile_keys[tiles_++] = at.cross;
    }
    for (int32_t row = 0; row < document.rows; ++row, ++rows_) {
      to_.positions[rows_] = document.length - 1;
      to_.rows[rows_] = {.log = at.log,
                         .part_rows = document.limits.max_rows * document.limits.max_positions,
                         .table = add(document.tables + row * document.table_stride, document.length),
                         .length = document.length};
    }
  }

  const HostBart& host_;
  const int tile_queries_;
  const StepInputs& to_;
  int64_t rows_ = 0;
  int64_t tiles_ = 0;
  int64_t numbers_ = 0;
};

}  // namespace remuda::models::cuda
