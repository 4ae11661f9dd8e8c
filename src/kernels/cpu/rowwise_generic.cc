#include "kernels/cpu/decode_attention_impl.h"
#include "kernels/cpu/rowwise_impl.h"
#include "kernels/cpu/simd_generic.h"

namespace remuda::kernels {

const RowwiseKernels kRowwiseGeneric = {
    .layer_norm = layer_norm_rows<GenericVec>,
    .gather = gather<GenericVec>,
    .attention_head = attention_head<GenericVec>,
    .pack_head = pack_head<GenericVec>,
    .attend_packed = attend_packed<GenericVec>,
    .attend_cached = attend_cached<GenericVec>,
    .narrow_to_bf16 = narrow_to_bf16,
    .gelu = gelu<GenericVec>,
    .gelu_tanh = gelu_tanh<GenericVec>,
    .relu = relu<GenericVec>,
    .tanh = tanh<GenericVec>,
    .gated_sigmoid = gated_sigmoid<GenericVec>,
    .sigmoid = sigmoid<GenericVec>,
    .mish = mish<GenericVec>,
};

}  // namespace remuda::kernels
