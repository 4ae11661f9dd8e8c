// A model's sizes, known from its configuration: as the GPU's library takes them, and whether it has kernels for them.
#pragma once

#include <string>

#include "base/activations.h"
#include "io/bart_config.h"
#include "io/model_directory.h"
#include "models/cuda_bart.h"
#include "models/cuda_models.h"

namespace remuda::models {

// What of it they have none for, a size, an activation or a module, for people; empty: they have. See cuda_shapes.h.
std::string gpu_shape_problem(const io::ModelDirectory& directory);
std::string gpu_shape_problem(const io::BartConfig& config);

// With all else zeros and null. Of an encoder, what the chain has behind it, poolings and dense layers, is not in it.
remuda::cuda::HostEncoder gpu_sizes(const io::EncoderConfig& config);
remuda::cuda::HostDense gpu_sizes(const io::DenseConfig& config);
remuda::cuda::HostBart gpu_sizes(const io::BartConfig& config);

// As the library numbers them. The activation must be one that it has, see above.
remuda::cuda::ActivationKind gpu_activation(ActivationFunction function);

}  // namespace remuda::models
