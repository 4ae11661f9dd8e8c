#include "kernels/cpu/decode_attention_impl.h"
#include "kernels/cpu/rowwise_impl.h"
#include "kernels/cpu/simd_avx2.h"

namespace remuda::kernels {

const RowwiseKernels kRowwiseAvx2 = {
    .layer_norm = layer_norm_rows<Avx2Vec>,
    .gather = gather<Avx2Vec>,
    .attention_head = attention_head<Avx2Vec>,
    .pack_head = pack_head<Avx2Vec>,
    .attend_packed = attend_packed<Avx2Vec>,
    .attend_cached = attend_cached<Avx2Vec>,
    .narrow_to_bf16 = narrow_to_bf16,
    .gelu = gelu<Avx2Vec>,
    .gelu_tanh = gelu_tanh<Avx2Vec>,
    .relu = relu<Avx2Vec>,
    .tanh = tanh<Avx2Vec>,
    .gated_sigmoid = gated_sigmoid<Avx2Vec>,
    .sigmoid = sigmoid<Avx2Vec>,
    .mish = mish<Avx2Vec>,
};

}  // namespace remuda::kernels
