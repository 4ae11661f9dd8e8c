#include "base/suggest.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace remuda {
namespace {

constexpr size_t kLongest = 200;
constexpr size_t kMost = 3;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::vector<std::string> close_names(std::string_view word, std::span<const std::string> known) {
  std::vector<std::pair<size_t, std::string>> close;
  if (word.empty() || word.size() > kLongest) return {};
  for (const std::string& name : known) {
    if (name.size() > kLongest) continue;
    // A third of a word is too much to be a slip of the hand.
    const size_t most = std::max<size_t>(1, std::min(word.size(), name.size()) / 4);
    const size_t letters = distance(word, name);
    if (letters <= most) close.emplace_back(letters, name);
  }
  std::ranges::sort(close);
  const auto repeated = std::ranges::unique(close);
  close.erase(repeated.begin(), repeated.end());
  std::vector<std::string> names;
  for (auto& [letters, name] : close) {
    if (names.size() < kMost) names.push_back(std::move(name));
  }
  return names;
}

}  // namespace remuda
