// The tokens that a text starts with, all of them: what Viterbi's algorithm over a vocabulary asks at each character.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/large_vector.h"
#include "text/vocabulary.h"

namespace remuda::text {

// Built once, then immutable.
class PrefixTrie {
 public:
  // Throws Error(kInvalidFile) when the tokens are so long together that no vocabulary is; `source` names them.
  PrefixTrie(const Vocabulary& vocabulary, const std::string& source);

  // Calls on_token(length, id) for each token that `text` starts with, the shortest first.
  template <typename OnToken>
  void find_prefixes(std::string_view text, OnToken on_token) const {
    if (text.empty()) return;
    uint32_t node = roots_[static_cast<unsigned char>(text.front())];
    for (size_t length = 1; node != kNone; ++length) {
      if (nodes_[node].id >= 0) on_token(length, nodes_[node].id);
      if (length == text.size()) return;
      node = child(nodes_[node], static_cast<unsigned char>(text[length]));
    }
  }

  size_t bytes() const { return nodes_.capacity() * sizeof(Node); }

 private:
  static constexpr uint32_t kNone = 0;

  // Children lie side by side, sorted by label. Node 0 is the root, and nobody's child.
  struct Node {
    uint32_t first_child = kNone;
    int32_t id = -1;
    uint16_t children = 0;
    uint8_t label = 0;
  };

  uint32_t child(const Node& node, uint8_t label) const;

  LargeVector<Node> nodes_;
  std::array<uint32_t, 256> roots_{};
};

}  // namespace remuda::text
