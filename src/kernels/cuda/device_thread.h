// The machine that kernel bodies run on, on a GPU (compute capability 8.0 and later): a thread of a block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/element.h"

namespace remuda::kernels::cuda {

class DeviceThread {
 public:
  __device__ __forceinline__ int index() const { return static_cast<int>(threadIdx.x); }
  __device__ __forceinline__ int64_t block() const { return static_cast<int64_t>(blockIdx.x); }
  __device__ __forceinline__ std::byte* shared() const {
    extern __shared__ __align__(128) std::byte memory[];
    return memory;
  }
  __device__ __forceinline__ void sync() const { __syncthreads(); }
  __device__ __forceinline__ void sync_warp() const { __syncwarp(); }

  // Among the lanes of a warp, all of which must call it.
  __device__ __forceinline__ float shuffle_xor(float x, int mask) const { return __shfl_xor_sync(kAll, x, mask); }
  __device__ __forceinline__ double shuffle_xor(double x, int mask) const { return __shfl_xor_sync(kAll, x, mask); }
  __device__ __forceinline__ int32_t shuffle_xor(int32_t x, int mask) const { return __shfl_xor_sync(kAll, x, mask); }
  __device__ __forceinline__ float shuffle(float x, int lane) const { return __shfl_sync(kAll, x, lane); }

  // In the block's shared memory; add() gives what was there before.
  __device__ __forceinline__ int32_t add(int32_t* to, int32_t x) const { return atomicAdd(to, x); }
  __device__ __forceinline__ void set_bits(uint32_t* in, uint32_t bits) const { atomicOr(in, bits); }

  __device__ __forceinline__ float infinity() const { return __int_as_float(0x7f800000); }
  // A NaN is passed over.
  __device__ __forceinline__ float maximum(float a, float b) const { return fmaxf(a, b); }
  __device__ __forceinline__ float square_root(float x) const { return sqrtf(x); }
  __device__ __forceinline__ double square_root(double x) const { return sqrt(x); }
  __device__ __forceinline__ float exp(float x) const { return expf(x); }
  __device__ __forceinline__ float log(float x) const { return logf(x); }
  __device__ __forceinline__ float exp2(float x) const {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));  // To 2 units in the last place (PTX ISA).
    return y;
  }
  __device__ __forceinline__ float error_function(float x) const { return erff(x); }
  __device__ __forceinline__ float hyperbolic_tangent(float x) const { return tanhf(x); }

  // 16 bytes from global to shared memory, or zeros there; done when wait_for_copies says so, to other threads after
  // sync().
  __device__ __forceinline__ void copy_async(void* to, const void* from, bool there) const {
    const int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
                 : "memory");
  }
  __device__ __forceinline__ void commit_copies() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  // Waits until all but the newest `pending` groups of this thread's copies are done.
  template <int pending>
  __device__ __forceinline__ void wait_for_copies() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
  }

  // Four matrices of 8 rows of 16 bytes in shared memory; lane l names row l % 8 of matrix l / 8. Of each, a lane gets
  // the pair at row lane / 4, column 2 * (lane % 4), or, transposed, at column lane / 4, rows 2 * (lane % 4) and the
  // next.
  __device__ __forceinline__ void load_matrices(uint32_t (&m)[4], const void* row) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(shared_address(row))
                 : "memory");
  }
  __device__ __forceinline__ void load_matrices_transposed(uint32_t (&m)[4], const void* row) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(shared_address(row))
                 : "memory");
  }

  // d += a b, of 16 x 16 by 16 x 8 elements spread over the warp.
  template <class Element>
  __device__ __forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) const {
    if constexpr (std::is_same_v<Element, Float16>) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
          "{%0, %1, %2, %3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    } else {
      static_assert(std::is_same_v<Element, BFloat16>);
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
          "{%0, %1, %2, %3};"
          : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
  }

 private:
  static constexpr unsigned kAll = 0xffffffffu;

  static __device__ __forceinline__ uint32_t shared_address(const void* p) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
  }
};

}  // namespace remuda::kernels::cuda
