#include "text/prefix_trie.h"

#include <algorithm>
#include <tuple>

#include "base/fail.h"

namespace remuda::text {
namespace {

// There are no more nodes than bytes of tokens.
constexpr size_t kMaxBytes = size_t{1} << 25;

struct Entry {
  std::string_view token;
  int32_t id;
};

std::vector<Entry> sorted_entries(const Vocabulary& vocabulary, const std::string& source) {
  std::vector<Entry> entries;
  entries.reserve(vocabulary.size());
  size_t bytes = 0;
  for (int32_t id = 0; id < vocabulary.id_limit(); ++id) {
    const auto token = vocabulary.token(id);
    if (!token || token->empty()) continue;
    entries.push_back({*token, id});
    bytes += token->size();
  }
  if (bytes > kMaxBytes) {
    fail(ErrorCode::kInvalidFile, "{}: expected tokens of at most {} bytes together, found {}", source, kMaxBytes,
         bytes);
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.token, a.id) < std::tie(b.token, b.id); });
  return entries;
}

}  // namespace

// Level by level: the entries that share a node's path are neighbours, and divide by their next byte.
PrefixTrie::PrefixTrie(const Vocabulary& vocabulary, const std::string& source) {
  const std::vector<Entry> entries = sorted_entries(vocabulary, source);
  struct Range {
    size_t begin;
    size_t end;
    size_t depth;
  };
  std::vector<Range> ranges = {{0, entries.size(), 0}};
  nodes_.emplace_back();
  for (size_t i = 0; i < ranges.size(); ++i) {
    auto [begin, end, depth] = ranges[i];
    // Of ids that share a token the last one counts.
    while (begin < end && entries[begin].token.size() == depth) nodes_[i].id = entries[begin++].id;
    if (begin < end) nodes_[i].first_child = static_cast<uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = entries[begin].token[depth];
      size_t next = begin;
      while (next < end && entries[next].token[depth] == byte) ++next;
      Node child;
      child.label = static_cast<uint8_t>(byte);
      nodes_.push_back(child);
      ranges.push_back({begin, next, depth + 1});
      ++nodes_[i].children;
      begin = next;
    }
  }
  nodes_.shrink_to_fit();
  for (uint32_t i = 0; i < nodes_[0].children; ++i) {
    const uint32_t node = nodes_[0].first_child + i;
    roots_[nodes_[node].label] = node;
  }
}

uint32_t PrefixTrie::child(const Node& node, uint8_t label) const {
  const auto first = nodes_.begin() + node.first_child;
  const auto last = first + node.children;
  const auto found = std::lower_bound(first, last, label,
                                      [](const Node& candidate, uint8_t wanted) { return candidate.label < wanted; });
  return found == last || found->label != label ? kNone : static_cast<uint32_t>(found - nodes_.begin());
}

}  // namespace remuda::text
