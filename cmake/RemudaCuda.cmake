# The CUDA backend, libremuda_cuda.so: a library of its own, opened at run time, so that nothing else links to CUDA.
#
# REMUDA_CUDA=AUTO   built where there is an nvcc that can (12.8 or later, with the static runtime)
#             ON     built, or an error that says what is missing
#             OFF    not built; remuda then says of GPUs that it was built without
#
# Sets REMUDA_BUILDS_CUDA.
set(REMUDA_CUDA AUTO CACHE STRING "The CUDA backend: AUTO (where nvcc is found), ON or OFF")
set_property(CACHE REMUDA_CUDA PROPERTY STRINGS AUTO ON OFF)
set(REMUDA_CUDA_ARCHITECTURES "80-real;90" CACHE STRING "What the CUDA backend is compiled for; the last one as PTX, too")

# Sets `problem` to why the backend can't be built, or to nothing.
function(remuda_find_nvcc problem)
  set(${problem} "" PARENT_SCOPE)
  find_program(REMUDA_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_PATH ENV CUDA_HOME PATH_SUFFIXES bin
               PATHS /usr/local/cuda/bin DOC "nvcc of the CUDA toolkit")
  if(NOT REMUDA_NVCC)
    set(${problem} "nvcc was not found" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND "${REMUDA_NVCC}" --version OUTPUT_VARIABLE said ERROR_QUIET)
  if(NOT said MATCHES "release ([0-9]+\\.[0-9]+)" OR CMAKE_MATCH_1 VERSION_LESS 12.8)
    set(${problem} "${REMUDA_NVCC} is not of CUDA 12.8 or later" PARENT_SCOPE)
    return()
  endif()
  # A compiler too new for this nvcc, a toolkit without its runtime: found out here, where it need not be an error.
  if(NOT REMUDA_NVCC_WORKS STREQUAL REMUDA_NVCC)
    set(trial "${CMAKE_BINARY_DIR}/CMakeFiles/remuda_nvcc")
    file(WRITE "${trial}.cu" "#include <cuda.h>\n#include <cuda_runtime.h>\nint main() { return cudaDeviceSynchronize(); }\n")
    execute_process(COMMAND "${REMUDA_NVCC}" -arch=sm_80 -cudart static -o "${trial}" "${trial}.cu"
                    RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
    if(failed)
      set(${problem} "${REMUDA_NVCC} can't build a program:\n${said}" PARENT_SCOPE)
      return()
    endif()
    set(REMUDA_NVCC_WORKS "${REMUDA_NVCC}" CACHE INTERNAL "The nvcc that was tried")
  endif()
endfunction()

set(REMUDA_BUILDS_CUDA OFF)
if(NOT REMUDA_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "REMUDA_CUDA is ${REMUDA_CUDA}; it can be AUTO, ON or OFF")
elseif(REMUDA_CUDA STREQUAL "AUTO" AND REMUDA_SANITIZE)
  message(STATUS "CUDA backend: not built, since sanitizers see nothing of it")
elseif(NOT REMUDA_CUDA STREQUAL "OFF")
  remuda_find_nvcc(problem)
  if(problem STREQUAL "")
    set(REMUDA_BUILDS_CUDA ON)
  elseif(REMUDA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "REMUDA_CUDA is ON, and ${problem}. Install NVIDIA's CUDA toolkit, 12.8 or later (on Debian "
                        "cuda-toolkit from NVIDIA's repository), and put its nvcc on the PATH or say where it is with CUDACXX.")
  else()
    message(STATUS "CUDA backend: not built (${problem})")
  endif()
endif()

if(REMUDA_BUILDS_CUDA)
  set(CMAKE_CUDA_COMPILER "${REMUDA_NVCC}")
  set(CMAKE_CUDA_ARCHITECTURES "${REMUDA_CUDA_ARCHITECTURES}")
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")  # Which CMake 3.25 does not know.
  endif()
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

# cuBLASLt: of scripts/cuda_env.sh, or of the toolkit. Only the header is needed to build.
function(remuda_find_cublas)
  file(GLOB packages "${PROJECT_SOURCE_DIR}/.cuda/lib/python*/site-packages/nvidia/cu*"
                     "${PROJECT_SOURCE_DIR}/.cuda/lib/python*/site-packages/nvidia/cublas")
  find_path(REMUDA_CUBLAS_INCLUDE cublasLt.h HINTS ${packages} ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}
            PATH_SUFFIXES include DOC "Where cublasLt.h is")
endfunction()

function(remuda_add_cuda)
  # What talks to the runtime is compiled as C++, which is quick; only kernels need nvcc.
  file(GLOB sources CONFIGURE_DEPENDS "src/*/cuda/*.cc" "src/*/cuda/*.cu")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  remuda_find_cublas()
  file(GLOB absent CONFIGURE_DEPENDS "src/*/cuda/cublas_lt*_absent.cc")
  if(REMUDA_CUBLAS_INCLUDE)
    list(FILTER sources EXCLUDE REGEX "_absent\\.cc$")
    get_filename_component(cublas "${REMUDA_CUBLAS_INCLUDE}" DIRECTORY)
    message(STATUS "CUDA backend: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}, cuBLASLt of ${cublas}")
  else()
    list(FILTER sources EXCLUDE REGEX "cublas_lt[a-z_]*\\.(cc|cu)$")
    list(APPEND sources ${absent})
    message(STATUS "CUDA backend: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION}, without cuBLASLt")
  endif()
  string(REGEX MATCH "^[0-9]+" major "${CMAKE_CUDA_COMPILER_VERSION}")
  add_library(remuda_cuda SHARED ${sources})
  set_target_properties(remuda_cuda PROPERTIES
    CUDA_ARCHITECTURES "${REMUDA_CUDA_ARCHITECTURES}" CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF
    CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}" BUILD_RPATH "${cublas}/lib"
    INSTALL_RPATH "$ORIGIN/../nvidia/cu${major}/lib:$ORIGIN/../nvidia/cublas/lib")
  target_include_directories(remuda_cuda SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  if(cublas)
    target_include_directories(remuda_cuda SYSTEM PRIVATE "${REMUDA_CUBLAS_INCLUDE}")
  endif()
  target_link_libraries(remuda_cuda PRIVATE ${CMAKE_DL_LIBS} Threads::Threads rt)
  # Of a C++ library that is linked in (REMUDA_PORTABLE), what nobody calls goes: it may want newer C libraries.
  target_link_options(remuda_cuda PRIVATE -Wl,--exclude-libs,ALL -Wl,-z,defs -Wl,--gc-sections)
  remuda_target_defaults(remuda_cuda)
endfunction()

# The models' sources that compile without nvcc, and the kernels and the runtime that run on the processor.
set(REMUDA_CUDA_ON_HOST src/models/cuda/encoder.cc src/models/cuda/encoder_weights.cc
                        src/kernels/cuda/testing/host_kernels.cc src/kernels/cuda/testing/host_runtime.cc)

# The CUDA runtime's header; where there is no toolkit, what takes its place in tests.
function(remuda_include_cuda target)
  if(REMUDA_BUILDS_CUDA)
    target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  else()
    target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src/kernels/cuda/testing/stand_in")
  endif()
endfunction()

# A library for tests to open. TESTS are the targets that do.
function(remuda_add_test_library name)
  cmake_parse_arguments(library "" "" "SOURCES;TESTS" ${ARGN})
  add_library(remuda_${name} MODULE ${library_SOURCES})
  set_target_properties(remuda_${name} PROPERTIES OUTPUT_NAME ${name}
                        LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/test-libraries")
  remuda_target_defaults(remuda_${name})
  foreach(test ${library_TESTS})
    add_dependencies(${test} remuda_${name})
  endforeach()
endfunction()

# Libraries that stand for the backend in tests, and some that are none.
function(remuda_add_test_backends)
  set(described src/device/testing/described_backend.cc)
  remuda_add_test_library(no_backend SOURCES src/device/testing/no_backend.cc TESTS remuda_device_test)
  remuda_add_test_library(other_version SOURCES src/device/testing/other_version.cc TESTS remuda_device_test)
  # GPUs that are described, without models, and with models of another version.
  remuda_add_test_library(described_backend SOURCES ${described} TESTS remuda_device_test remuda_models_test)
  remuda_add_test_library(other_models SOURCES ${described} src/models/testing/other_models.cc
                          TESTS remuda_models_test)
  # libremuda_cuda_on_host.so: the whole library, with the processor in a GPU's place.
  remuda_add_test_library(cuda_on_host
                          SOURCES ${described} ${REMUDA_CUDA_ON_HOST} src/models/cuda/models.cc
                                  src/device/cuda/cuda_error.cc src/kernels/cuda/testing/host_backend.cc
                          TESTS remuda_models_test remuda_manager_test)
  set_target_properties(remuda_cuda_on_host PROPERTIES OUTPUT_NAME remuda_cuda_on_host)
  remuda_include_cuda(remuda_cuda_on_host)
  if(REMUDA_SANITIZE MATCHES "thread")
    # Which does not follow fibers, on which its kernels run; what calls it is looked at.
    target_compile_options(remuda_cuda_on_host PRIVATE -fno-sanitize=thread)
  endif()
  if(REMUDA_BUILDS_CUDA)
    # A driver that is of no use, for what the real library makes of it: tests/cli/test_gpus.py.
    add_library(remuda_described_driver MODULE src/device/testing/described_driver.cc)
    set_target_properties(remuda_described_driver PROPERTIES PREFIX "" OUTPUT_NAME libcuda SUFFIX ".so.1"
                          LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/test-libraries/driver")
    remuda_target_defaults(remuda_described_driver)
  endif()
endfunction()

# What of the backend can run without a GPU: the library itself, and the models over kernels that run on the processor.
function(remuda_add_cuda_tests)
  file(GLOB tests CONFIGURE_DEPENDS "src/*/cuda/*_test.cc")
  add_executable(remuda_cuda_test ${tests} ${REMUDA_CUDA_ON_HOST} tests/test_environment.cc)
  target_link_libraries(remuda_cuda_test PRIVATE remuda_models_module GTest::gtest_main GTest::gmock)
  target_compile_definitions(remuda_cuda_test PRIVATE REMUDA_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                                      REMUDA_TEST_CACHE_HOME="${PROJECT_BINARY_DIR}/test-cache"
                                                      REMUDA_CUDA_LIBRARY="$<TARGET_FILE:remuda_cuda>")
  add_dependencies(remuda_cuda_test remuda_cuda)
  target_include_directories(remuda_cuda_test SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  remuda_target_defaults(remuda_cuda_test)
  include(GoogleTest)
  gtest_discover_tests(remuda_cuda_test TEST_PREFIX "cuda/" DISCOVERY_MODE PRE_TEST
                       DISCOVERY_TIMEOUT 60 PROPERTIES LABELS cuda TIMEOUT 600)

  # The kernels themselves; skipped where there is no GPU. scripts/gpu_check.sh does more.
  add_executable(remuda_cuda_check src/kernels/cuda/testing/gpu_check.cc $<TARGET_OBJECTS:remuda_cuda>)
  target_include_directories(remuda_cuda_check SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_link_libraries(remuda_cuda_check PRIVATE ${CMAKE_DL_LIBS} Threads::Threads rt)
  set_target_properties(remuda_cuda_check PROPERTIES CUDA_RUNTIME_LIBRARY Static LINKER_LANGUAGE CUDA)
  remuda_target_defaults(remuda_cuda_check)
  add_test(NAME cuda/kernels_on_a_gpu COMMAND remuda_cuda_check)
  set_tests_properties(cuda/kernels_on_a_gpu PROPERTIES LABELS cuda TIMEOUT 600 SKIP_RETURN_CODE 77)
endfunction()
