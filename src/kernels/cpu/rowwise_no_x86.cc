// What a build for another processor has in place of the x86 kernels: available_isas() never offers them there.
#include "kernels/cpu/rowwise.h"

namespace remuda::kernels {

const RowwiseKernels kRowwiseAvx2 = {};
const RowwiseKernels kRowwiseAvx512 = {};

}  // namespace remuda::kernels
