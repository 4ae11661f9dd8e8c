#include "generation/running_sequences.h"

#include <algorithm>
#include <utility>

namespace remuda {

RunningSequences::RunningSequences(int64_t count, int64_t max_length, int32_t start_token)
    : max_length_(max_length),
      ids_(static_cast<size_t>(count * max_length)),
      next_ids_(ids_.size()),
      row_of_(static_cast<size_t>(count), 0),
      sequence_of_{0},
      rows_{{.token = start_token, .parent = -1}} {
  for (int64_t i = 0; i < count; ++i) ids_[static_cast<size_t>(i * max_length)] = start_token;
}

std::span<const int32_t> RunningSequences::ids(int64_t sequence) const {
  return std::span(ids_).subspan(static_cast<size_t>(sequence * max_length_), static_cast<size_t>(length_));
}

void RunningSequences::extend(std::span<const Extension> extensions) {
  next_rows_.clear();
  next_row_of_.clear();
  sequence_of_.clear();
  for (size_t i = 0; i < extensions.size(); ++i) {
    const auto [parent, token] = extensions[i];
    const auto old = ids(parent);
    const auto place = next_ids_.begin() + static_cast<int64_t>(i) * max_length_;
    *std::copy(old.begin(), old.end(), place) = token;

    const StepRow row{.token = token, .parent = row_of(parent)};
    auto found = std::ranges::find(next_rows_, row);
    if (found == next_rows_.end()) {
      sequence_of_.push_back(static_cast<int32_t>(i));
      found = next_rows_.insert(found, row);
    }
    next_row_of_.push_back(static_cast<int32_t>(found - next_rows_.begin()));
  }
  ids_.swap(next_ids_);
  row_of_.swap(next_row_of_);
  rows_.swap(next_rows_);
  ++length_;
}

}  // namespace remuda
