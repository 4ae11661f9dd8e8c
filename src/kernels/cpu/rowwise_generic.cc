#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/rowwise_impl.h"
#include "kernels/cpu/simd_generic.h"

namespace remuda::kernels {

const RowwiseKernels kRowwiseGeneric = {
    .layer_norm = layer_norm_rows<GenericVec>,
    .gather = gather<GenericVec>,
    .attention_head = attention_head<GenericVec>,
    .gelu = gelu<GenericVec>,
    .gelu_tanh = gelu_tanh<GenericVec>,
    .relu = relu<GenericVec>,
    .tanh = tanh<GenericVec>,
};

}  // namespace remuda::kernels
