# The matrix products: one source for each instruction set, compiled with its flags and nothing else.
target_sources(${target} PRIVATE src/kernels/cpu/linear_generic.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c)
  function(remuda_linear_source source)
    target_sources(${target} PRIVATE src/kernels/cpu/${source})
    # GCC 12 takes the deliberately undefined operands inside its own AVX-512 header for mistakes (GCC bug 105593).
    set_source_files_properties(src/kernels/cpu/${source} PROPERTIES COMPILE_OPTIONS
                                "${ARGN};$<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>;$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>")
  endfunction()
  remuda_linear_source(linear_avx2.cc -mavx2 -mfma -mf16c)
  remuda_linear_source(linear_avx512.cc ${avx512})
  remuda_linear_source(linear_avx512_vnni.cc ${avx512} -mavx512vnni)
  remuda_linear_source(linear_avx512_bf16.cc ${avx512} -mavx512bf16)
endif()
