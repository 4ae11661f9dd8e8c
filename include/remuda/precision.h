// The number formats that a model's weights can be held and multiplied in, and where.
#pragma once

#include <string_view>

namespace remuda {

enum class DeviceKind { kCpu, kGpu };

enum class Precision {
  kAuto,  // fp32 on a CPU (the reference's answers), fp16 on a GPU, or fp32 where gpu_use_fp16 is false.
  kFp32,
  kBf16,
  kInt8,  // Per-channel int8 weights, per-row int8 activations, int32 sums. CPUs only.
  kFp16,  // GPUs only.
  // GPUs only: fp32, but matrix products round what they multiply to TF32, which has 10 bits behind the point, as
  // torch.backends.cuda.matmul.allow_tf32 does.
  kTf32,
};

// "auto", "fp32", "bf16", "int8", "fp16", "tf32".
std::string_view to_string(Precision precision);

// Whether no CPU computes in it.
bool is_for_gpus_alone(Precision precision);

// What a device computes in where this is asked for; never kAuto. Throws Error(kUnsupported), naming what it can.
Precision precision_on(DeviceKind device, Precision asked, bool gpu_use_fp16 = true);

// The inverse of to_string. Throws Error(kInvalidArgument) naming `what` (a flag, a variable) and the known
// names.
Precision parse_precision(std::string_view text, std::string_view what);

}  // namespace remuda
