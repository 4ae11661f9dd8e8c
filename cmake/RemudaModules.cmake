# One static library, one test executable and one benchmark executable for each module of tools/layers.txt.
#
# src/<module>/*.cc          the library            remuda_<module>_module
# src/<module>/*_test.cc     its tests              remuda_<module>_test
# src/<module>/*_bench.cc    its micro-benchmarks   remuda_<module>_bench
# src/<module>/module.cmake  what is special about it: libraries, per-file flags

if(REMUDA_SANITIZE)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${REMUDA_SANITIZE};-fno-sanitize-recover=all;-fno-omit-frame-pointer>")
  add_link_options(-fsanitize=${REMUDA_SANITIZE})
  if(REMUDA_SANITIZE MATCHES "thread")
    add_compile_definitions(REMUDA_THREAD_SANITIZER)
  endif()
endif()

function(remuda_target_defaults target)
  set(cxx_options -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wconversion -Wno-sign-conversion -Wno-psabi)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 sees reads of empty std::optionals, and overlaps in std::string's operator+, that there are not.
    list(APPEND cxx_options -Wno-maybe-uninitialized -Wno-restrict)
  endif()
  if(REMUDA_WERROR)
    list(APPEND cxx_options -Werror)
    target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Werror>")
  endif()
  # A kernel adds in an order that is written down; the compiler may not fuse or reorder it.
  list(APPEND cxx_options -ffp-contract=off)
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${cxx_options}>"
                                           "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>")
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
endfunction()

# Compiling the tests is half of a build: they are optimised less than what they test, and their headers are compiled once
# for all that are alike.
function(remuda_test_defaults target module)
  remuda_target_defaults(${target})
  set(level "")
  if(REMUDA_SANITIZE AND NOT module MATCHES "^(generation|kernels|text)$")  # Those compute as much as what they test.
    set(level -O0)
  elseif(REMUDA_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Release")
    set(level -O1)
  endif()
  target_compile_options(${target} PRIVATE ${level})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # With -O1 GCC 12 sees both in std::string's moves.
    target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-stringop-overflow)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(${target} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")  # ccache goes by what is in the files.
  endif()
  get_property(first GLOBAL PROPERTY REMUDA_TEST_HEADERS${level})
  if(first)
    target_precompile_headers(${target} REUSE_FROM ${first})
  else()
    target_precompile_headers(${target} PRIVATE <gmock/gmock.h> <gtest/gtest.h> <rapidcheck/gtest.h> <algorithm> <atomic>
                              <chrono> <cmath> <cstring> <filesystem> <fstream> <functional> <map> <random> <set> <string>
                              <thread> <vector>)
    set_property(GLOBAL PROPERTY REMUDA_TEST_HEADERS${level} ${target})
  endif()
endfunction()

function(remuda_add_module_tests module)
  file(GLOB tests CONFIGURE_DEPENDS "src/${module}/*_test.cc")
  if(NOT REMUDA_BUILD_TESTS OR NOT tests)
    return()
  endif()
  set(target remuda_${module}_test)
  add_executable(${target} ${tests} "${PROJECT_SOURCE_DIR}/tests/test_environment.cc")
  target_link_libraries(${target} PRIVATE remuda_${module}_module GTest::gtest_main GTest::gmock rapidcheck)
  target_compile_definitions(${target} PRIVATE REMUDA_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               REMUDA_TEST_CACHE_HOME="${PROJECT_BINARY_DIR}/test-cache"
                                               REMUDA_TEST_LIBRARIES="${PROJECT_BINARY_DIR}/test-libraries")
  remuda_test_defaults(${target} ${module})
  include(GoogleTest)
  gtest_discover_tests(${target} TEST_PREFIX "${module}/" DISCOVERY_MODE PRE_TEST
                       DISCOVERY_TIMEOUT 60 PROPERTIES LABELS ${module} TIMEOUT 600)
endfunction()

function(remuda_add_module_benchmarks module)
  file(GLOB benchmarks CONFIGURE_DEPENDS "src/${module}/*_bench.cc")
  if(NOT REMUDA_BUILD_BENCHMARKS OR NOT benchmarks)
    return()
  endif()
  set(target remuda_${module}_bench)
  add_executable(${target} ${benchmarks})
  target_link_libraries(${target} PRIVATE remuda_${module}_module benchmark::benchmark_main)
  remuda_target_defaults(${target})
endfunction()

function(remuda_add_module module)
  file(GLOB sources CONFIGURE_DEPENDS "src/${module}/*.cc")
  list(FILTER sources EXCLUDE REGEX "(_test|_bench)\\.cc$|/src/cli/main\\.cc$")
  if(NOT sources)
    return()
  endif()
  set(target remuda_${module}_module)
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
                                              "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${module})
  remuda_target_defaults(${target})
  foreach(dependency ${ARGN})
    if(TARGET remuda_${dependency}_module)
      target_link_libraries(${target} PUBLIC remuda_${dependency}_module)
    endif()
  endforeach()
  include("${PROJECT_SOURCE_DIR}/src/${module}/module.cmake" OPTIONAL)
  set_property(GLOBAL APPEND PROPERTY REMUDA_MODULES ${target})
  remuda_add_module_tests(${module})
  remuda_add_module_benchmarks(${module})
endfunction()

macro(remuda_add_modules)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tools/layers.txt")
  enable_testing()
  file(STRINGS "${PROJECT_SOURCE_DIR}/tools/layers.txt" layers)
  foreach(line ${layers})
    string(REGEX MATCHALL "[a-z]+" names "${line}")
    list(POP_FRONT names module)
    if(module STREQUAL "python")
      continue()  # Not a library: src/python has a CMakeLists.txt of its own.
    endif()
    remuda_add_module(${module} ${names})
  endforeach()
endmacro()
