#include "kernels/cpu/decode_attention_impl.h"
#include "kernels/cpu/rowwise_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace remuda::kernels {

const RowwiseKernels kRowwiseAvx512 = {
    .layer_norm = layer_norm_rows<Avx512Vec>,
    .gather = gather<Avx512Vec>,
    .attention_head = attention_head<Avx512Vec>,
    .pack_head = pack_head<Avx512Vec>,
    .attend_packed = attend_packed<Avx512Vec>,
    .attend_cached = attend_cached<Avx512Vec>,
    .narrow_to_bf16 = narrow_to_bf16,
    .gelu = gelu<Avx512Vec>,
    .gelu_tanh = gelu_tanh<Avx512Vec>,
    .relu = relu<Avx512Vec>,
    .tanh = tanh<Avx512Vec>,
    .gated_sigmoid = gated_sigmoid<Avx512Vec>,
    .sigmoid = sigmoid<Avx512Vec>,
    .mish = mish<Avx512Vec>,
};

}  // namespace remuda::kernels
