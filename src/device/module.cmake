# Whether there is a CUDA backend is said by one of two files, not by the preprocessor.
if(REMUDA_BUILDS_CUDA)
  target_sources(${target} PRIVATE src/device/backends/with_cuda.cc)
else()
  target_sources(${target} PRIVATE src/device/backends/without_cuda.cc)
endif()
target_link_libraries(${target} PUBLIC ${CMAKE_DL_LIBS})
