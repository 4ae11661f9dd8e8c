#include "remuda/precision.h"

#include "base/fail.h"

namespace remuda {

std::string_view to_string(Precision precision) {
  switch (precision) {
    case Precision::kAuto:
      return "auto";
    case Precision::kFp32:
      return "fp32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kInt8:
      return "int8";
    case Precision::kFp16:
      return "fp16";
    case Precision::kTf32:
      return "tf32";
  }
  return "unknown";
}

bool is_for_gpus_alone(Precision precision) { return precision == Precision::kFp16 || precision == Precision::kTf32; }

Precision precision_on(DeviceKind device, Precision asked, bool gpu_use_fp16) {
  const bool gpu = device == DeviceKind::kGpu;
  if (asked == Precision::kAuto) return gpu && gpu_use_fp16 ? Precision::kFp16 : Precision::kFp32;
  if (gpu && asked == Precision::kInt8) {
    fail(ErrorCode::kUnsupported, "precision int8 is for CPUs; on a GPU use fp32, fp16, bf16 or tf32");
  }
  if (!gpu && is_for_gpus_alone(asked)) {
    fail(ErrorCode::kUnsupported, "precision {} is for GPUs; on a CPU use fp32, bf16 or int8", to_string(asked));
  }
  return asked;
}

Precision parse_precision(std::string_view text, std::string_view what) {
  for (const Precision precision :
       {Precision::kAuto, Precision::kFp32, Precision::kBf16, Precision::kInt8, Precision::kFp16, Precision::kTf32}) {
    if (text == to_string(precision)) return precision;
  }
  fail(ErrorCode::kInvalidArgument, "{}: expected auto, fp32, bf16, int8, fp16 or tf32, found \"{}\"", what, text);
}

}  // namespace remuda
