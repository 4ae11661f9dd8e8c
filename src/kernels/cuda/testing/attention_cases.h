// The tests of the GPU's attention, for both machines, as in kernel_cases.h.
#pragma once

#include <limits>

#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/testing/kernel_cases.h"

namespace remuda::kernels::cuda {

// A batch as a model makes it, in numbers of this type. `longest` is what the biases are for; 0: there are none.
template <class Element>
struct AttentionBatch {
  AttentionCase shape;
  std::vector<Element> qkv;

  AttentionBatch(const std::vector<int64_t>& lengths, int num_heads, int head_dim, int longest = 0) {
    shape.offsets = {0};
    for (const int64_t length : lengths) shape.offsets.push_back(shape.offsets.back() + length);
    shape.num_heads = num_heads;
    shape.head_dim = head_dim;
    shape.scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
    shape.stride = 3 * shape.width() + 8;
    Numbers numbers(static_cast<uint32_t>(head_dim));
    qkv = numbers.normal<Element>(static_cast<size_t>(shape.tokens() * shape.stride));
    if (longest == 0) return;
    shape.max_distance = longest - 1;
    shape.bias = numbers.normal<float>(static_cast<size_t>(num_heads * (2 * shape.max_distance + 1)), 2.0f);
  }

  // Sequence `s` alone.
  AttentionBatch alone(size_t s) const {
    AttentionBatch one = *this;
    one.shape.offsets = {0, shape.offsets[s + 1] - shape.offsets[s]};
    one.qkv.assign(qkv.begin() + shape.offsets[s] * shape.stride, qkv.begin() + shape.offsets[s + 1] * shape.stride);
    return one;
  }

  // [tokens, width]
  template <class Runner>
  std::vector<Element> run(Runner& runner, CaseReport& report, const std::string& what) const {
    const GuardedOutput<Element, Runner> out(runner, static_cast<size_t>(shape.tokens() * shape.width()));
    const Element* data = runner.upload(qkv);
    const std::vector<AttentionTile> tiles =
        attention_tiles(shape.offsets, attention_tile_queries<Element>(shape.head_dim));
    runner.attention(AttentionParams<Element>{
        .q = data,
        .k = data + shape.width(),
        .v = data + 2 * shape.width(),
        .q_stride = shape.stride,
        .kv_stride = shape.stride,
        .out = out.data(),
        .out_stride = shape.width(),
        .tiles = runner.upload(tiles),
        .num_tiles = static_cast<int64_t>(tiles.size()),
        .num_heads = shape.num_heads,
        .head_dim = shape.head_dim,
        .scale = static_cast<float>(shape.scale),
        .relative_bias = shape.bias.empty() ? nullptr : runner.upload(shape.bias),
        .max_distance = shape.max_distance,
    });
    return out.read(report, what);
  }
};

template <class Element>
std::string attention_name(int head_dim, bool biased) {
  return std::string("attention ") + element_name<Element>() + ", heads of " + std::to_string(head_dim) +
         (biased ? ", biased" : "");
}

// The weights are rounded before they are summed: values of about 1, each off by half a step.
template <class Element>
Tolerance attention_tolerance() {
  return {half_step<Element>() * 2, sizeof(Element) == 4 ? 3e-6 : half_step<Element>() * 2};
}

template <class Element, class Runner>
void attention_case(Runner& runner, CaseReport& report, const std::vector<int64_t>& lengths, int head_dim,
                    bool biased) {
  const std::string what = attention_name<Element>(head_dim, biased);
  const int longest = static_cast<int>(*std::max_element(lengths.begin(), lengths.end()));
  AttentionBatch<Element> batch(lengths, 2, head_dim, biased ? longest : 0);
  const std::vector<Element> found = batch.run(runner, report, what);
  AttentionCase& a = batch.shape;
  for (const Element x : batch.qkv) a.qkv.push_back(static_cast<double>(to_float(x)));
  for (size_t s = 0; s < lengths.size(); ++s) {
    for (int64_t t = a.offsets[s]; t < a.offsets[s + 1]; ++t) {
      for (int h = 0; h < a.num_heads; ++h) {
        const Doubles expected = reference_attention(a, s, t, h);
        for (int d = 0; d < head_dim; ++d) {
          const Element got = found[static_cast<size_t>(t * a.width() + h * head_dim + d)];
          expect_near(report, what + ", length " + std::to_string(lengths[s]), static_cast<double>(to_float(got)),
                      expected[static_cast<size_t>(d)], attention_tolerance<Element>());
        }
      }
    }
  }
}

// A decoder's step: the beams of each document, a row each, attend to the document.
template <class Element>
struct SharedKeys {
  static constexpr int kHeads = 2;

  explicit SharedKeys(int of_head) : head_dim(of_head) {
    Numbers numbers(static_cast<uint32_t>(head_dim) + 7);
    q = numbers.normal<Element>(static_cast<size_t>(query_offsets.back() * width));
    kv = numbers.normal<Element>(static_cast<size_t>(key_offsets.back() * 2 * width));
  }

  // found: as q.
  void compare(const std::vector<Element>& found, CaseReport& report, const std::string& what) const {
    for (size_t g = 0; g + 1 < query_offsets.size(); ++g) {
      for (int64_t row = query_offsets[g]; row < query_offsets[g + 1]; ++row) {
        for (int64_t column = 0; column < width; column += head_dim) compare(g, row, column, found, report, what);
      }
    }
  }

  const int head_dim;
  const int64_t width = int64_t{kHeads} * head_dim;
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const std::vector<int64_t> query_offsets = {0, 4, 5, 5, 75, 79};
  const std::vector<int64_t> key_offsets = {0, 33, 34, 40, 57, 187};
  std::vector<Element> q;   // [queries, width]
  std::vector<Element> kv;  // [keys, 2 * width]

 private:
  // The head whose first column this is.
  void compare(size_t group, int64_t row, int64_t column, const std::vector<Element>& found, CaseReport& report,
               const std::string& what) const {
    const auto add_head = [this](const std::vector<Element>& from, int64_t at, Doubles& to) {
      for (int64_t i = at; i < at + head_dim; ++i) {
        to.push_back(static_cast<double>(to_float(from[static_cast<size_t>(i)])));
      }
    };
    Doubles query, keys, values, got;
    add_head(q, row * width + column, query);
    add_head(found, row * width + column, got);
    for (int64_t s = key_offsets[group]; s < key_offsets[group + 1]; ++s) {
      add_head(kv, s * 2 * width + column, keys);
      add_head(kv, s * 2 * width + width + column, values);
    }
    const Doubles expected = reference_query(query, keys, values, scale);
    for (size_t d = 0; d < expected.size(); ++d) {
      expect_near(report, what, got[d], expected[d], attention_tolerance<Element>());
    }
  }
};

// `apart`: each document's keys and values lie in memory of their own, behind those of another layer, and there are
// tiles without queries.
template <class Element, class Runner>
void shared_keys_case(Runner& runner, CaseReport& report, int head_dim, bool apart) {
  const std::string what = attention_name<Element>(head_dim, false) + (apart ? ", keys apart" : ", shared keys");
  const SharedKeys<Element> batch(head_dim);
  const int64_t width = batch.width;
  std::vector<AttentionTile> tiles =
      attention_tiles(batch.query_offsets, batch.key_offsets, attention_tile_queries<Element>(head_dim));
  std::vector<const void*> tile_keys;
  for (AttentionTile& tile : tiles) {
    if (!apart) break;
    const auto begin = batch.kv.begin() + tile.key_row * 2 * width;
    std::vector<Element> layers(static_cast<size_t>(tile.num_keys * 2 * width));
    layers.insert(layers.end(), begin, begin + tile.num_keys * 2 * width);
    tile_keys.push_back(runner.upload(layers));
    tile.key_row = 0;
  }
  if (apart) {
    tiles.insert(tiles.end(), 2, AttentionTile{});
    tile_keys.insert(tile_keys.end(), 2, nullptr);
  }
  const GuardedOutput<Element, Runner> out(runner, batch.q.size());
  const Element* const data = runner.upload(batch.kv);
  runner.attention(AttentionParams<Element>{.q = runner.upload(batch.q),
                                            .k = apart ? nullptr : data,
                                            .v = apart ? nullptr : data + width,
                                            .q_stride = width,
                                            .kv_stride = 2 * width,
                                            .out = out.data(),
                                            .out_stride = width,
                                            .tiles = runner.upload(tiles),
                                            .num_tiles = static_cast<int64_t>(tiles.size()),
                                            .num_heads = batch.kHeads,
                                            .head_dim = head_dim,
                                            .scale = static_cast<float>(batch.scale),
                                            .tile_keys = apart ? runner.upload(tile_keys) : nullptr,
                                            .layer = apart ? 1 : 0});
  batch.compare(out.read(report, what), report, what);
}

template <class Element>
bool same_bytes(std::span<const Element> a, std::span<const Element> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// A sequence's bytes are the same alone and among others, in any order.
template <class Element, class Runner>
void attention_alone_case(Runner& runner, CaseReport& report, int head_dim, bool biased) {
  const std::string what = attention_name<Element>(head_dim, biased) + ", alone and in a batch";
  const AttentionBatch<Element> batch({3, 70, 1, 17, 129, 64}, 2, head_dim, biased ? 129 : 0);
  const std::vector<Element> together = batch.run(runner, report, what);
  for (size_t s = 0; s + 1 < batch.shape.offsets.size(); ++s) {
    const std::vector<Element> alone = batch.alone(s).run(runner, report, what);
    ++report.compared;
    const std::span<const Element> part = std::span<const Element>(together).subspan(
        static_cast<size_t>(batch.shape.offsets[s] * batch.shape.width()), alone.size());
    if (!same_bytes(part, std::span<const Element>(alone))) report.add(what + ": sequence " + std::to_string(s));
  }
}

// A NaN among a head's keys makes all of that head's output in that sequence NaN, and nothing else.
template <class Element, class Runner>
void attention_nan_case(Runner& runner, CaseReport& report, int head_dim) {
  const std::string what = attention_name<Element>(head_dim, false) + ", a NaN";
  AttentionBatch<Element> batch({5, 18, 7}, 2, head_dim);
  const std::vector<Element> clean = batch.run(runner, report, what);
  const int64_t width = batch.shape.width();
  batch.qkv[static_cast<size_t>(10 * batch.shape.stride + width)] =
      from_float<Element>(std::numeric_limits<float>::quiet_NaN());
  const std::vector<Element> found = batch.run(runner, report, what);
  for (int64_t t = 0; t < batch.shape.tokens(); ++t) {
    for (int64_t c = 0; c < width; ++c) {
      const size_t i = static_cast<size_t>(t * width + c);
      const bool poisoned = t >= 5 && t < 23 && c < head_dim;
      ++report.compared;
      const bool good = poisoned ? std::isnan(to_float(found[i])) : to_float(found[i]) == to_float(clean[i]);
      if (!good) report.add(what + ": token " + std::to_string(t) + ", column " + std::to_string(c));
    }
  }
}

}  // namespace remuda::kernels::cuda
