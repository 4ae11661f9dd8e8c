# The row-wise and attention kernels: one source for each instruction set, compiled with its flags and nothing else.
target_sources(${target} PRIVATE src/kernels/cpu/rowwise_generic.cc)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_sources(${target} PRIVATE src/kernels/cpu/rowwise_avx2.cc src/kernels/cpu/rowwise_avx512.cc src/kernels/cpu/attention_avx512_bf16.cc)
  set_source_files_properties(src/kernels/cpu/rowwise_avx2.cc PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
  # GCC 12 takes the deliberately undefined operands inside its own AVX-512 header for mistakes (GCC bug 105593).
  set(avx512 "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mfma;-mf16c;$<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>;$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>")
  set_source_files_properties(src/kernels/cpu/rowwise_avx512.cc PROPERTIES COMPILE_OPTIONS "${avx512}")
  set_source_files_properties(src/kernels/cpu/attention_avx512_bf16.cc PROPERTIES COMPILE_OPTIONS "${avx512};-mavx512bf16")
else()
  target_sources(${target} PRIVATE src/kernels/cpu/rowwise_no_x86.cc)
endif()

# Sanitizers add symbols of their own, so this is a test of ordinary builds.
if(REMUDA_BUILD_TESTS AND NOT REMUDA_SANITIZE)
  add_test(NAME kernels/isolation_of_instruction_sets
           COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM}
                   "-DOBJECTS=$<JOIN:$<FILTER:$<TARGET_OBJECTS:${target}>,INCLUDE,_avx[0-9a-z_]*\\.cc\\.o$>,$<COMMA>>"
                   -P "${CMAKE_CURRENT_SOURCE_DIR}/src/kernels/check_isolation.cmake")
endif()
