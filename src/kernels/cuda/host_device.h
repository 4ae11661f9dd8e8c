// What lets one piece of code be compiled for a GPU and, in the tests, for the processor.
#pragma once

#if defined(__CUDACC__)
#define REMUDA_HOST_DEVICE __host__ __device__ __forceinline__
#define REMUDA_UNROLL _Pragma("unroll")
#else
#define REMUDA_HOST_DEVICE inline
#define REMUDA_UNROLL
#endif
