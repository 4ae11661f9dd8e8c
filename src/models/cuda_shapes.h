// Which sizes of models libremuda_cuda.so has kernels for. The library refuses the others by these functions, and
// remuda knows by them beforehand, so that such a model is placed on the CPU.
//
// All return what is wrong with a size, for people; empty: nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace remuda::cuda {

inline constexpr int64_t kMaxModelSize = 4096;
inline constexpr int64_t kMaxHeadSize = 256;
inline constexpr int64_t kMaxDecoderHeadSize = 128;
// The ranking of a row has two bits of a block's shared memory for each token; every GPU has room for so many.
inline constexpr int64_t kMaxRankedVocabulary = 300'000;

// Of several, the first; empty where all are.
inline std::string first_problem(std::initializer_list<std::string> problems) {
  const auto* const found =
      std::find_if(problems.begin(), problems.end(), [](const auto& each) { return !each.empty(); });
  return found == problems.end() ? std::string() : *found;
}

inline std::string expected(const std::string& what, const std::string& size, int64_t found) {
  return what + ": expected " + size + ", found " + std::to_string(found);
}

// Of the vectors that pass from layer to layer.
inline std::string model_size_problem(const std::string& what, int64_t size) {
  if (size > 0 && size % 8 == 0 && size <= kMaxModelSize) return {};
  return expected(what, "a multiple of 8 up to " + std::to_string(kMaxModelSize), size);
}

inline std::string inner_size_problem(const std::string& what, int64_t size) {
  return size > 0 && size % 8 == 0 ? std::string() : expected(what, "a multiple of 8", size);
}

inline std::string heads_problem(const std::string& what, int64_t heads, int64_t size, int64_t max_head_size) {
  if (heads > 0 && size % heads == 0 && size / heads <= max_head_size) return {};
  return expected(what, "a divisor of " + std::to_string(size) + " that leaves up to " + std::to_string(max_head_size),
                  heads);
}

inline std::string dense_size_problem(const std::string& what, int64_t size) {
  return size > 0 && size % 4 == 0 ? std::string() : expected(what, "a multiple of 4", size);
}

inline std::string vocabulary_problem(const std::string& what, int64_t size) {
  if (size > 0 && size <= kMaxRankedVocabulary) return {};
  return expected(what, "up to " + std::to_string(kMaxRankedVocabulary), size);
}

}  // namespace remuda::cuda
