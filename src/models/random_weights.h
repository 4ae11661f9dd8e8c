// Checkpoints of random weights, for models of any size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tensor/float16.h"

namespace remuda {

// Names and shapes.
using RandomTensors = std::vector<std::pair<std::string, std::vector<int64_t>>>;

inline void add_linear(RandomTensors& tensors, const std::string& name, int64_t out, int64_t in) {
  tensors.push_back({name + ".weight", {out, in}});
  tensors.push_back({name + ".bias", {out}});
}

inline void add_norm(RandomTensors& tensors, const std::string& name, int64_t size) {
  tensors.push_back({name + ".weight", {size}});
  tensors.push_back({name + ".bias", {size}});
}

// As the file has the numbers.
enum class RandomType { kF32, kBf16 };

namespace random_weights {

// {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}, filled up to a multiple of 8.
inline std::string header(const RandomTensors& tensors, RandomType type) {
  std::string header = "{";
  uint64_t end = 0;
  for (const auto& [name, sizes] : tensors) {
    uint64_t bytes = type == RandomType::kF32 ? 4 : 2;
    std::string dimensions;
    for (const int64_t size : sizes) {
      bytes *= static_cast<uint64_t>(size);
      dimensions += (dimensions.empty() ? "" : ", ") + std::to_string(size);
    }
    header += (header.size() > 1 ? ", \"" : "\"") + name + R"(": {"dtype": ")" +
              (type == RandomType::kF32 ? "F32" : "BF16") + R"(", "shape": [)" + dimensions +
              R"(], "data_offsets": [)" + std::to_string(end) + ", " + std::to_string(end + bytes) + "]}";
    end += bytes;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

// Numbers over and over, from where the ones before ended.
template <typename T>
void write(std::ofstream& file, const std::vector<T>& block, size_t& at, int64_t count) {
  for (auto left = static_cast<size_t>(count); left > 0;) {
    const size_t part = std::min(left, block.size() - at);
    file.write(reinterpret_cast<const char*>(block.data() + at), static_cast<std::streamsize>(part * sizeof(T)));
    at = (at + part) % block.size();
    left -= part;
  }
}

template <typename T, typename Round>
void write(std::ofstream& file, const RandomTensors& tensors, unsigned seed, float spread, Round round) {
  std::mt19937 random(seed);
  std::normal_distribution<float> numbers(0, spread);
  std::vector<T> block(1 << 18);
  std::ranges::generate(block, [&] { return round(numbers(random)); });
  const std::vector<T> ones(1 << 10, round(1));
  size_t at = 0;
  for (const auto& [name, sizes] : tensors) {
    const int64_t count = std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies());
    const bool is_gamma = name.ends_with("orm.weight") || name.ends_with("layernorm_embedding.weight");
    size_t from_first = 0;
    is_gamma ? write(file, ones, from_first, count) : write(file, block, at, count);
  }
}

}  // namespace random_weights

// model.safetensors, as a model is initialised: layer norms of 1, all else about `spread`, a few numbers over and over.
inline void write_random_weights(const std::filesystem::path& directory, const RandomTensors& tensors, unsigned seed,
                                 RandomType type = RandomType::kF32, float spread = 0.02f) {
  std::ofstream file(directory / "model.safetensors", std::ios::binary);
  const std::string header = random_weights::header(tensors, type);
  const uint64_t size = header.size();
  file.write(reinterpret_cast<const char*>(&size), sizeof(size));
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  if (type == RandomType::kF32) {
    random_weights::write<float>(file, tensors, seed, spread, [](float number) { return number; });
  } else {
    random_weights::write<uint16_t>(file, tensors, seed, spread, [](float number) { return float_to_bf16(number); });
  }
}

}  // namespace remuda
