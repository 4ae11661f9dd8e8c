// Checkpoints of random weights, for models of any size.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

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

// model.safetensors, in F32; a few numbers over and over.
inline void write_random_weights(const std::filesystem::path& directory, const RandomTensors& tensors, unsigned seed,
                                 float spread = 0.02f) {
  std::string header = "{";
  uint64_t end = 0;
  for (const auto& [name, sizes] : tensors) {
    uint64_t bytes = sizeof(float);
    std::string dimensions;
    for (const int64_t size : sizes) {
      bytes *= static_cast<uint64_t>(size);
      dimensions += (dimensions.empty() ? "" : ", ") + std::to_string(size);
    }
    header += (header.size() > 1 ? ", \"" : "\"") + name + R"(": {"dtype": "F32", "shape": [)" + dimensions +
              R"(], "data_offsets": [)" + std::to_string(end) + ", " + std::to_string(end + bytes) + "]}";
    end += bytes;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::ofstream file(directory / "model.safetensors", std::ios::binary);
  const uint64_t size = header.size();
  file.write(reinterpret_cast<const char*>(&size), sizeof(size));
  file.write(header.data(), static_cast<std::streamsize>(header.size()));
  std::mt19937 random(seed);
  std::normal_distribution<float> numbers(0, spread);
  std::vector<float> block(1 << 18);
  std::ranges::generate(block, [&] { return numbers(random); });
  for (uint64_t left = end; left > 0;) {
    const uint64_t part = std::min<uint64_t>(left, block.size() * sizeof(float));
    file.write(reinterpret_cast<const char*>(block.data()), static_cast<std::streamsize>(part));
    left -= part;
  }
}

}  // namespace remuda
