// A BART on the CPU as batches of documents are decoded with it.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "device/compute_pool.h"
#include "models/bart.h"
#include "models/bart_engine.h"
#include "tensor/workspace.h"

namespace remuda::models {

// All outlive the engine.
std::unique_ptr<BartEngine> make_cpu_engine(const Bart& bart, WorkspaceArena& arena, ComputePool& pool);

class CpuBart final : public BartModel {
 public:
  // Arena and pool outlive the model.
  CpuBart(Bart bart, WorkspaceArena& arena, ComputePool& pool) : bart_(std::move(bart)), arena_(arena), pool_(pool) {}

  const io::BartConfig& config() const override { return bart_.config(); }
  size_t bytes() const override { return bart_.bytes(); }
  size_t mapped_bytes() const override { return bart_.mapped_bytes(); }
  std::unique_ptr<BartEngine> make_engine() const override { return make_cpu_engine(bart_, arena_, pool_); }

 private:
  const Bart bart_;
  WorkspaceArena& arena_;
  ComputePool& pool_;
};

}  // namespace remuda::models
