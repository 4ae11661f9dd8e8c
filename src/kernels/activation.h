#pragma once

namespace remuda::kernels {

enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kTanh };

}  // namespace remuda::kernels
