#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/rowwise_impl.h"
#include "kernels/cpu/simd_avx2.h"

namespace remuda::kernels {

const RowwiseKernels kRowwiseAvx2 = {
    .layer_norm = layer_norm_rows<Avx2Vec>,
    .gather = gather<Avx2Vec>,
    .attention_head = attention_head<Avx2Vec>,
    .gelu = gelu<Avx2Vec>,
    .gelu_tanh = gelu_tanh<Avx2Vec>,
    .relu = relu<Avx2Vec>,
    .tanh = tanh<Avx2Vec>,
};

}  // namespace remuda::kernels
