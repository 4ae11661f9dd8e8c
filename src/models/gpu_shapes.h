// A model's sizes, known from its configuration: as the GPU's library takes them, and whether it has kernels for them.
#pragma once

#include <string>

#include "io/bart_config.h"
#include "io/model_directory.h"
#include "models/cuda_bart.h"
#include "models/cuda_models.h"

namespace remuda::models {

// Which of its sizes they have none for, for people; empty: they have. See cuda_shapes.h.
std::string gpu_shape_problem(const io::ModelDirectory& directory);
std::string gpu_shape_problem(const io::BartConfig& config);

// With all else zeros and null. Of an encoder, what the chain has behind it, poolings and dense layers, is not in it.
remuda::cuda::HostEncoder gpu_sizes(const io::EncoderConfig& config);
remuda::cuda::HostDense gpu_sizes(const io::DenseConfig& config);
remuda::cuda::HostBart gpu_sizes(const io::BartConfig& config);

}  // namespace remuda::models
