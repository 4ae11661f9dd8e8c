// Where cuBLASLt's header was not there to build with.
#include "device/cuda/cublas_lt.h"
#include "device/cuda/cuda_error.h"
#include "kernels/cuda/products.h"

namespace remuda::kernels::cuda {

struct Product::Plan {
  ProductShape shape;
};

Product::Product(const ProductShape&, const void*, const void*, void*, cudaStream_t) {
  remuda::cuda::cublas_lt();  // Throws, and says what is missing.
}
Product::~Product() = default;
Product::Product(Product&&) noexcept = default;
Product& Product::operator=(Product&&) noexcept = default;

const ProductShape& Product::shape() const { return plan_->shape; }

void Product::multiply(const void*, const void*, const void*, void*, int64_t, cudaStream_t) const {
  remuda::cuda::cublas_lt();
}

}  // namespace remuda::kernels::cuda
