// kernels.h and products.h on the processor.
#include <bit>
#include <cstdint>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/testing/host_runner.h"
#include "kernels/cuda/testing/host_runtime.h"

namespace remuda::kernels::cuda {

template <class Element>
void embed(const EmbedParams<Element>& params, cudaStream_t stream) {
  on_stream(stream, [params] { HostRunner().embed(params); });
}
template <class Element>
void layer_norm(const LayerNormParams<Element>& params, cudaStream_t stream) {
  on_stream(stream, [params] { HostRunner().layer_norm(params); });
}
template <class Element>
void activate(const ActivateParams<Element>& params, cudaStream_t stream) {
  on_stream(stream, [params] { HostRunner().activate(params); });
}
template <class Element>
void pool(const PoolParams<Element>& params, cudaStream_t stream) {
  on_stream(stream, [params] { HostRunner().pool(params); });
}
void normalize(const NormalizeParams& params, cudaStream_t stream) {
  on_stream(stream, [params] { HostRunner().normalize(params); });
}
// One thread after the other without a block around them, as they need none: a model has many millions.
struct LoneThread {
  int64_t number;

  int64_t block() const { return number / kElementThreads; }
  int index() const { return static_cast<int>(number % kElementThreads); }
};
template <class From, class To>
void convert(const ConvertParams<From, To>& params, cudaStream_t) {
  for (LoneThread thread{0}; thread.number < params.count; ++thread.number) convert_body(thread, params);
}
template <class Element>
void attention(const AttentionParams<Element>& params, cudaStream_t stream) {
  on_stream(stream, [params] { HostRunner().attention(params); });
}
template <class Element>
void cached_attention(const CachedAttentionParams<Element>& params, cudaStream_t stream) {
  on_stream(stream, [params] { HostRunner().cached_attention(params); });
}
void rank(const RankingParams& params, cudaStream_t stream) {
  on_stream(stream, [params] { HostRunner().rank(params); });
}

#define REMUDA_INSTANTIATE(Element)                                             \
  template void embed(const EmbedParams<Element>&, cudaStream_t);               \
  template void layer_norm(const LayerNormParams<Element>&, cudaStream_t);      \
  template void activate(const ActivateParams<Element>&, cudaStream_t);         \
  template void pool(const PoolParams<Element>&, cudaStream_t);                 \
  template void convert(const ConvertParams<float, Element>&, cudaStream_t);    \
  template void convert(const ConvertParams<Float16, Element>&, cudaStream_t);  \
  template void convert(const ConvertParams<BFloat16, Element>&, cudaStream_t); \
  template void attention(const AttentionParams<Element>&, cudaStream_t);       \
  template void cached_attention(const CachedAttentionParams<Element>&, cudaStream_t)
REMUDA_INSTANTIATE(float);
REMUDA_INSTANTIATE(Float16);
REMUDA_INSTANTIATE(BFloat16);

struct Product::Plan {
  ProductShape shape;
};

Product::Product(const ProductShape& shape, const void*, const void*, void*, cudaStream_t)
    : plan_(std::make_unique<Plan>(Plan{shape})) {}
Product::~Product() = default;
Product::Product(Product&&) noexcept = default;
Product& Product::operator=(Product&&) noexcept = default;

const ProductShape& Product::shape() const { return plan_->shape; }

namespace {

// To nearest, ties away from zero, as a GPU's cvt.rna; of finite numbers.
float to_tf32(float x) {
  constexpr int kDropped = 13;
  const auto bits = std::bit_cast<uint32_t>(x) + (1u << (kDropped - 1));
  return std::bit_cast<float>(bits >> kDropped << kDropped);
}

template <class Element, class Output>
void multiply_rows(const ProductShape& shape, const Element* x, const Element* weights, const Element* bias, Output* y,
                   int64_t rows) {
  const auto factor = [&](Element element) {
    const float value = to_float(element);
    return shape.uses_tf32 ? to_tf32(value) : value;
  };
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < shape.out_features; ++o) {
      float sum = 0.0f;
      for (int64_t i = 0; i < shape.in_features; ++i) {
        sum += factor(x[r * shape.in_features + i]) * factor(weights[o * shape.in_features + i]);
      }
      if (shape.has_bias) sum += to_float(bias[o]);
      y[r * shape.out_features + o] = from_float<Output>(sum);
    }
  }
}

}  // namespace

void Product::multiply(const void* x, const void* weights, const void* bias, void* y, int64_t rows,
                       cudaStream_t stream) const {
  const ProductShape shape = plan_->shape;
  const auto run = [=](auto element) {
    using Element = decltype(element);
    const auto multiply_to = [=](auto* output) {
      multiply_rows(shape, static_cast<const Element*>(x), static_cast<const Element*>(weights),
                    static_cast<const Element*>(bias), output, rows);
    };
    shape.gives_floats ? multiply_to(static_cast<float*>(y)) : multiply_to(static_cast<Element*>(y));
  };
  on_stream(stream, [=] {
    switch (shape.type) {
      case ElementType::kFloat32:
        return run(0.0f);
      case ElementType::kFloat16:
        return run(Float16{});
      case ElementType::kBFloat16:
        return run(BFloat16{});
    }
  });
}

}  // namespace remuda::kernels::cuda
