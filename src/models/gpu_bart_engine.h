// A BART on a GPU as batches of documents are decoded with it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "device/compute_pool.h"
#include "io/bart_config.h"
#include "io/checkpoint.h"
#include "models/bart_engine.h"
#include "models/gpu_bart.h"
#include "remuda/precision.h"

namespace remuda::models {

class GpuBartModel final : public BartModel {
 public:
  // As GpuBart's constructor. Searches go on in `pool`, which outlives the model.
  GpuBartModel(const io::BartConfig& config, const io::Checkpoint& checkpoint, const std::string& device,
               Precision precision, ComputePool& pool)
      : bart_(config, checkpoint, device, precision), pool_(pool) {}

  const io::BartConfig& config() const override { return bart_.config(); }
  size_t bytes() const override { return bart_.bytes(); }
  size_t mapped_bytes() const override { return 0; }
  std::unique_ptr<BartEngine> make_engine() const override;

 private:
  const GpuBart bart_;
  ComputePool& pool_;
};

}  // namespace remuda::models
