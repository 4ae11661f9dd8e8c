// Whether GPUs have kernels for a model, known from its configuration.
#pragma once

#include <string>

#include "io/bart_config.h"
#include "io/model_directory.h"

namespace remuda::models {

// Which of its sizes they have none for, for people; empty: they have. See cuda_shapes.h.
std::string gpu_shape_problem(const io::ModelDirectory& directory);
std::string gpu_shape_problem(const io::BartConfig& config);

}  // namespace remuda::models
