// kernels.h and products.h on the processor.
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/testing/host_runner.h"

namespace remuda::kernels::cuda {

template <class Element>
void embed(const EmbedParams<Element>& params, cudaStream_t) {
  HostRunner().embed(params);
}
template <class Element>
void layer_norm(const LayerNormParams<Element>& params, cudaStream_t) {
  HostRunner().layer_norm(params);
}
template <class Element>
void activate(const ActivateParams<Element>& params, cudaStream_t) {
  HostRunner().activate(params);
}
template <class Element>
void pool(const PoolParams<Element>& params, cudaStream_t) {
  HostRunner().pool(params);
}
void normalize(const NormalizeParams& params, cudaStream_t) { HostRunner().normalize(params); }
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
int attention_tile_queries(int64_t head_dim) {
  return HostRunner().attention_tile_queries<Element>(head_dim);
}
template <class Element>
void attention(const AttentionParams<Element>& params, cudaStream_t) {
  HostRunner().attention(params);
}

#define REMUDA_INSTANTIATE(Element)                                             \
  template void embed(const EmbedParams<Element>&, cudaStream_t);               \
  template void layer_norm(const LayerNormParams<Element>&, cudaStream_t);      \
  template void activate(const ActivateParams<Element>&, cudaStream_t);         \
  template void pool(const PoolParams<Element>&, cudaStream_t);                 \
  template void convert(const ConvertParams<float, Element>&, cudaStream_t);    \
  template void convert(const ConvertParams<Float16, Element>&, cudaStream_t);  \
  template void convert(const ConvertParams<BFloat16, Element>&, cudaStream_t); \
  template int attention_tile_queries<Element>(int64_t);                        \
  template void attention(const AttentionParams<Element>&, cudaStream_t)
REMUDA_INSTANTIATE(float);
REMUDA_INSTANTIATE(Float16);
REMUDA_INSTANTIATE(BFloat16);

struct Product::Plan {
  ProductShape shape;
};

// As a GPU has it: the rows of the largest trial, in and out.
uint64_t Product::trial_bytes(const ProductShape& shape) {
  constexpr uint64_t kRows = 4087;
  return kRows * static_cast<uint64_t>(shape.in_features + shape.out_features) *
         (shape.type == ElementType::kFloat32 ? 4 : 2);
}

Product::Product(const ProductShape& shape, const void*, const void*, void*, cudaStream_t)
    : plan_(std::make_unique<Plan>(Plan{shape})) {}
Product::~Product() = default;
Product::Product(Product&&) noexcept = default;
Product& Product::operator=(Product&&) noexcept = default;

const ProductShape& Product::shape() const { return plan_->shape; }

namespace {

template <class Element>
void multiply_rows(const ProductShape& shape, const Element* x, const Element* weights, const Element* bias, Element* y,
                   int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < shape.out_features; ++o) {
      float sum = 0.0f;
      for (int64_t i = 0; i < shape.in_features; ++i) {
        sum += to_float(x[r * shape.in_features + i]) * to_float(weights[o * shape.in_features + i]);
      }
      if (shape.has_bias) sum += to_float(bias[o]);
      y[r * shape.out_features + o] = from_float<Element>(sum);
    }
  }
}

}  // namespace

void Product::multiply(const void* x, const void* weights, const void* bias, void* y, int64_t rows,
                       cudaStream_t) const {
  const auto run = [&](auto element) {
    using Element = decltype(element);
    multiply_rows(plan_->shape, static_cast<const Element*>(x), static_cast<const Element*>(weights),
                  static_cast<const Element*>(bias), static_cast<Element*>(y), rows);
  };
  switch (plan_->shape.type) {
    case ElementType::kFloat32:
      return run(0.0f);
    case ElementType::kFloat16:
      return run(Float16{});
    case ElementType::kBFloat16:
      return run(BFloat16{});
  }
}

}  // namespace remuda::kernels::cuda
