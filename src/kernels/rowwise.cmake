# The row-wise and attention kernels: one source for each instruction set, compiled with its flags and nothing else.
target_sources(${target} PRIVATE src/kernels/cpu/rowwise_generic.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_sources(${target} PRIVATE src/kernels/cpu/rowwise_avx2.cc src/kernels/cpu/rowwise_avx512.cc)
  set_source_files_properties(src/kernels/cpu/rowwise_avx2.cc PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
  # GCC 12 takes the deliberately undefined operands inside its own AVX-512 header for mistakes (GCC bug 105593).
  set_source_files_properties(src/kernels/cpu/rowwise_avx512.cc PROPERTIES COMPILE_OPTIONS
    "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mfma;-mf16c;-Wno-uninitialized;-Wno-maybe-uninitialized")
else()
  target_sources(${target} PRIVATE src/kernels/cpu/rowwise_no_x86.cc)
endif()
