// Runs every kernel on a GPU against its definition.
//
//   remuda_cuda_check [--quick] [--no-products] [--json FILE]
//
// --quick: few and small cases, for compute-sanitizer. Exits with 0 where all is well, 1 where something is not, and 77
// where there is no GPU, on which nothing was tried.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>

#include "kernels/cuda/testing/attention_cases.h"
#include "kernels/cuda/testing/decode_cases.h"
#include "kernels/cuda/testing/gpu_runner.h"
#include "kernels/cuda/testing/kernel_cases.h"
#include "kernels/cuda/testing/product_cases.h"
#include "kernels/cuda/testing/ranking_cases.h"

namespace remuda::kernels::cuda {
namespace {

constexpr int kNoGpu = 77;

struct Options {
  bool quick = false;
  bool products = true;
  const char* json = nullptr;
};

struct Check {
  std::string name;
  std::function<void(GpuRunner&, CaseReport&)> run;
};

template <class Element>
void check_rows(GpuRunner& runner, CaseReport& report, bool quick) {
  const std::vector<int> columns =
      quick ? std::vector<int>{8, 384, 1028}
            : std::vector<int>{4, 8, 100, 128, 384, 512, 516, 768, 776, 1024, 1028, 2048, 4096};
  for (const int each : columns) {
    for (const int64_t rows : {1, 3, 4, 5, quick ? 9 : 1027}) {
      layer_norm_case<Element>(runner, report, rows, each, false);
      layer_norm_case<Element>(runner, report, rows, each, true);
      if (each % 8 == 0) embed_case<Element>(runner, report, rows, each);
    }
  }
}

template <class Element>
void check_activations(GpuRunner& runner, CaseReport& report, bool quick) {
  for (const Activation activation :
       {Activation::kNone, Activation::kGelu, Activation::kGeluTanh, Activation::kRelu, Activation::kTanh}) {
    activate_case<Element>(runner, report, activation, 1, 8);
    activate_case<Element>(runner, report, activation, quick ? 3 : 301, 1536);
  }
  convert_case<float, Element>(runner, report);
  convert_case<Float16, Element>(runner, report);
  convert_case<BFloat16, Element>(runner, report);
}

template <class Element>
void check_pooling(GpuRunner& runner, CaseReport& report, bool quick) {
  std::vector<int32_t> lengths = {1, 2, 3, 1, 40, 17, 2, 5};
  if (!quick) lengths.insert(lengths.end(), {512, 300, 1, 77});
  for (const PoolingMode mode : {PoolingMode::kCls, PoolingMode::kMax, PoolingMode::kMean, PoolingMode::kMeanSqrtLen,
                                 PoolingMode::kWeightedMean, PoolingMode::kLastToken}) {
    for (const int columns : {1, 127, 128, 384}) pool_case<Element>(runner, report, mode, lengths, columns);
  }
}

template <class Element>
void check_attention(GpuRunner& runner, CaseReport& report, bool quick) {
  const std::vector<int> head_dims = quick ? std::vector<int>{12, 32, 64, 128}
                                           : std::vector<int>{8, 12, 16, 24, 32, 40, 64, 72, 80, 96, 128, 160, 256};
  const std::vector<int64_t> lengths = {1, 2, 15, 16, 17, 33, 65};
  for (const int head_dim : head_dims) {
    for (const bool biased : {false, true}) attention_case<Element>(runner, report, lengths, head_dim, biased);
    attention_nan_case<Element>(runner, report, head_dim);
    for (const bool apart : {false, true}) shared_keys_case<Element>(runner, report, head_dim, apart);
  }
  const std::vector<int64_t> long_lengths = {63, 64, 100, 127, 128, 129, 200, 384, 512};
  for (const int head_dim : quick ? std::vector<int>{} : std::vector<int>{32, 64, 128}) {
    for (const bool biased : {false, true}) attention_case<Element>(runner, report, long_lengths, head_dim, biased);
  }
  for (const int head_dim : {32, 64, 128}) attention_alone_case<Element>(runner, report, head_dim, head_dim == 64);
}

template <class Element>
void check_products(GpuRunner& runner, CaseReport& report, bool quick, bool uses_tf32 = false) {
  constexpr ElementType kType = element_type_of<Element>;
  // MiniLM's, mpnet-base's and bge-large's; BART's are of the same sizes.
  for (const int64_t size : quick ? std::vector<int64_t>{384} : std::vector<int64_t>{384, 768, 1024}) {
    for (const bool step : {false, true}) {
      const auto shape = [&](int64_t out, int64_t in, bool has_bias) {
        return ProductShape{.out_features = out,
                            .in_features = in,
                            .type = kType,
                            .uses_tf32 = uses_tf32,
                            .has_bias = has_bias,
                            .has_few_rows = step};
      };
      product_case<Element>(runner, report, shape(3 * size, size, true));
      product_case<Element>(runner, report, shape(size, size, false));
      product_case<Element>(runner, report, shape(4 * size, size, false));
      product_case<Element>(runner, report, shape(size, 4 * size, false));
    }
  }
  // Logits.
  product_case<Element, float>(runner, report,
                               {.out_features = quick ? 1000 : 50272,
                                .in_features = 768,
                                .type = kType,
                                .uses_tf32 = uses_tf32,
                                .gives_floats = true,
                                .has_few_rows = true});
}

template <class Element>
void add_checks(const Options& options, std::vector<Check>& checks) {
  const std::string type = element_name<Element>();
  const bool quick = options.quick;
  checks.push_back({"rows " + type, [=](auto& runner, auto& report) { check_rows<Element>(runner, report, quick); }});
  checks.push_back({"activations and conversions " + type,
                    [=](auto& runner, auto& report) { check_activations<Element>(runner, report, quick); }});
  checks.push_back(
      {"pooling " + type, [=](auto& runner, auto& report) { check_pooling<Element>(runner, report, quick); }});
  checks.push_back(
      {"attention " + type, [=](auto& runner, auto& report) { check_attention<Element>(runner, report, quick); }});
  checks.push_back({"attention to a cache " + type, [](auto& runner, auto& report) {
                      for (const int head_dim : {8, 12, 64, 128}) {
                        cached_attention_case<Element>(runner, report, head_dim);
                      }
                    }});
  if (!options.products) return;
  checks.push_back(
      {"products " + type, [=](auto& runner, auto& report) { check_products<Element>(runner, report, quick); }});
}

std::vector<Check> all_checks(const Options& options) {
  std::vector<Check> checks;
  add_checks<float>(options, checks);
  add_checks<Float16>(options, checks);
  add_checks<BFloat16>(options, checks);
  if (options.products) {
    checks.push_back({"products tf32", [quick = options.quick](auto& runner, auto& report) {
                        check_products<float>(runner, report, quick, true);
                      }});
  }
  checks.push_back({"ranking", [](auto& runner, auto& report) { ranking_cases(runner, report, true); }});
  checks.push_back({"normalize", [](auto& runner, auto& report) {
                      for (const int columns : {1, 31, 32, 33, 384, 1024}) normalize_case(runner, report, 5, columns);
                    }});
  return checks;
}

CaseReport run(const Check& check) {
  CaseReport report;
  try {
    GpuRunner runner;
    check.run(runner, report);
  } catch (const std::exception& error) {
    report.add(check.name + ": " + error.what());
  }
  return report;
}

int check_gpu(const Options& options) {
  int devices = 0;
  const cudaError_t code = cudaGetDeviceCount(&devices);
  if (code != cudaSuccess || devices == 0) {
    std::printf("no GPU: %s; nothing was tried\n", code == cudaSuccess ? "none is there" : cudaGetErrorString(code));
    return kNoGpu;
  }
  cudaDeviceProp properties;
  remuda::cuda::check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf("%s, compute capability %d.%d\n", properties.name, properties.major, properties.minor);
  bool good = true;
  std::string json;
  for (const Check& check : all_checks(options)) {
    const auto start = std::chrono::steady_clock::now();
    const CaseReport report = run(check);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    // A check that compared nothing has shown nothing.
    const bool passed = report.problems.empty() && report.compared > 0;
    good = good && passed;
    std::printf("%-34s %12lld compared  %6.1f s  %s\n", check.name.c_str(), static_cast<long long>(report.compared),
                seconds, passed ? "ok" : "WRONG");
    for (const std::string& problem : report.problems) std::printf("    %s\n", problem.c_str());
    std::fflush(stdout);
    json += (json.empty() ? "" : ",\n  ") + ("{\"name\": \"" + check.name + "\", \"compared\": ") +
            std::to_string(report.compared) + ", \"passed\": " + (passed ? "true}" : "false}");
  }
  if (options.json != nullptr) {
    std::ofstream(options.json) << "{\"device\": \"" << properties.name << "\", \"checks\": [\n  " << json << "\n]}\n";
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace remuda::kernels::cuda

int main(int count, char** arguments) {
  remuda::kernels::cuda::Options options;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--no-products") {
      options.products = false;
    } else if (argument == "--json" && i + 1 < count) {
      options.json = arguments[++i];
    } else {
      std::fprintf(stderr, "usage: remuda_cuda_check [--quick] [--no-products] [--json FILE]\n");
      return 2;
    }
  }
  try {
    return remuda::kernels::cuda::check_gpu(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "remuda_cuda_check: %s\n", error.what());
    return 1;
  }
}
