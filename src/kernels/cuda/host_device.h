// What lets one piece of code be compiled for a GPU and, in the tests, for the processor.
#pragma once

#if defined(__CUDACC__)
#define REMUDA_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define REMUDA_HOST_DEVICE inline
#endif

// Arrays stay in a GPU's registers only where every index is known.
#if defined(__CUDA_ARCH__)
#define REMUDA_UNROLL _Pragma("unroll")
#else
#define REMUDA_UNROLL
#endif
