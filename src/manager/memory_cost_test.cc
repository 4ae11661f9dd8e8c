// That what estimate_memory() says before a load is, within a tenth, what is counted and resident after it.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <optional>

#include "base/resident_test_support.h"
#include "base/sanitizer_test_support.h"
#include "device/memory_budget.h"
#include "hub/resolve.h"
#include "manager/random_bart.h"
#include "manager/random_encoder.h"
#include "models/bart_memory.h"  // And the arena.
#include "remuda/embedding_model_manager.h"
#include "remuda/error.h"
#include "remuda/summarization_model_manager.h"

namespace remuda {
namespace {

constexpr Precision kPrecisions[] = {Precision::kFp32, Precision::kBf16, Precision::kInt8};

// Threads' scratch, ids, searches, and pages of the word embeddings while rows are read: device/memory_budget.h.
[[maybe_unused]] constexpr double kUncounted = 1 << 20;  // Unused with a sanitizer, which takes memory itself.

void expect_within_a_tenth(const std::string& what, uint64_t estimate, uint64_t found) {
  EXPECT_NEAR(static_cast<double>(estimate) / static_cast<double>(found), 1, 0.1)
      << what << ": " << estimate << " bytes were expected, " << found << " found";
}

void expect_resident([[maybe_unused]] const std::string& what, [[maybe_unused]] uint64_t estimate,
                     [[maybe_unused]] uint64_t found) {
#ifndef REMUDA_SANITIZED
  EXPECT_NEAR(static_cast<double>(found), static_cast<double>(estimate),
              0.1 * static_cast<double>(estimate) + kUncounted)
      << what << ": resident";
#endif
}

uint64_t workspaces() { return MemoryBudget::cpu().stats().workspaces; }

// What is resident after `load` beside what there was before.
template <typename Load>
uint64_t resident_after(Load&& load) {
  malloc_trim(0);
  const uint64_t before = status_bytes("VmRSS");
  load();
  const uint64_t after = status_bytes("VmRSS");
  return after > before ? after - before : 0;
}

// The same at the peak of `compute`.
template <typename Compute>
uint64_t resident_for(Compute&& compute) {
  malloc_trim(0);
  const uint64_t before = status_bytes("VmRSS");
  reset_peak();
  compute();
  const uint64_t peak = status_bytes("VmHWM");
  return peak > before ? peak - before : 0;
}

std::string words(int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += "horse ";
  return text;
}

// Loads the model, then has it summarise one document that fills the window, and several at once, as the checkpoint
// says.
void check_summarizer(const std::string& name, Precision precision) {
  const std::string what = fmt::format("{} in {}", name, to_string(precision));
  const ScratchDirectory cache;
  Settings settings;
  settings.summarization_model = name;
  settings.precision = precision;
  settings.cache_dir = cache.path();
  SummarizationModelManager(settings).warm_up();  // Packs the weights: `loading` is not what is looked at here.
  const SummarizationModelInfo info = inspect_summarization_model(name);
  const uint64_t weights = estimate_memory(info, precision, 0).shared_weights;

  SummarizationModelManager manager(settings);
  std::optional<Lease<SummarizationInstance>> lease;
  const uint64_t resident_weights = resident_after([&] { lease = manager.acquire(); });
  expect_within_a_tenth(what + ": weights", weights, (*lease)->metadata().shared_bytes);
  expect_resident(what + ": weights", weights, resident_weights);

  manager.summarize_text(words(1), **lease);  // What is there only once: code, and threads' scratch.
  const GenerationOptions& defaults = info.generation;
  const int64_t tokens = info.window + *defaults.num_beams * (*defaults.max_length - 1);
  for (const int64_t documents : {1, 3}) {
    const MemoryCost cost = estimate_memory(info, precision, documents * tokens);
    EXPECT_GT(cost.document, *defaults.num_beams * cost.sequence);
    WorkspaceArena::global().trim();
    uint64_t counted = 0;
    SummarizeOptions options{.max_batch_tokens = documents * tokens, .cancelled = [&counted] {
                               counted = std::max(counted, workspaces());
                               return false;
                             }};
    options.generation.min_length = defaults.max_length;
    const std::vector<std::string> texts(static_cast<size_t>(documents), words(info.window));
    const uint64_t resident = resident_for([&] { manager.summarize(texts, **lease, options); });
    expect_within_a_tenth(fmt::format("{}: workspace, {} documents", what, documents), cost.workspace, counted);
    expect_resident(fmt::format("{}: all, {} documents", what, documents), weights + cost.workspace,
                    resident_weights + resident);
  }
}

TEST(MemoryCost, OfASummarizerWithTiedOutputsAndADeeperEncoder) {
  const RandomBart model({.encoder_layers = 4,
                          .decoder_layers = 2,
                          .hidden = 256,
                          .encoder_inner = 1024,
                          .decoder_inner = 512,
                          .positions = 512});
  for (const Precision precision : kPrecisions) check_summarizer(model.path(), precision);
}

TEST(MemoryCost, OfASummarizerWithOutputsOfItsOwnAndADeeperDecoder) {
  const RandomBart model({.encoder_layers = 1,
                          .decoder_layers = 4,
                          .hidden = 384,
                          .encoder_inner = 768,
                          .decoder_inner = 1536,
                          .positions = 1024,
                          .vocabulary = 6000,
                          .tied = false,
                          .beams = 2,
                          .length = 48});
  for (const Precision precision : kPrecisions) check_summarizer(model.path(), precision);
}

TEST(MemoryCost, OfTheBundledSummarizer) {
  for (const Precision precision : kPrecisions) check_summarizer(Settings{}.summarization_model, precision);
}

TEST(MemoryCost, OfEncoders) {
  const RandomEncoder encoder({.layers = 6, .hidden = 256, .inner = 1024});
  for (const std::string& name : {encoder.path(), hub::resolve_model(hub::kDefaultEmbeddingModel).string()}) {
    for (const Precision precision : kPrecisions) {
      const std::string what = fmt::format("{} in {}", name, to_string(precision));
      Settings settings;
      settings.embedding_model = name;
      settings.precision = precision;
      EmbeddingModelManager manager(settings);
      auto lease = manager.acquire();
      const MemoryCost cost = estimate_memory(manager.info(), precision);
      expect_within_a_tenth(what + ": weights", cost.shared_weights, lease->metadata().shared_bytes);
      manager.embed_text(words(1), *lease);
      WorkspaceArena::global().trim();
      const int64_t tokens = EmbedOptions::default_max_batch_tokens(DeviceKind::kCpu);
      const int64_t batch = std::max<int64_t>(1, tokens / manager.info().max_seq_length);
      const std::vector<std::string> texts(static_cast<size_t>(batch), words(manager.info().max_seq_length));
      const uint64_t resident = resident_for([&] { manager.embed_texts(texts, *lease); });
      expect_within_a_tenth(what + ": workspace", cost.workspace, workspaces());
      expect_resident(what + ": workspace", cost.workspace, resident);
    }
  }
}

// Parameters are what has to lie there; what the library takes, gpu_embedding_test.cc and gpu_bart_estimate_test.cc
// hold it to. What lies between layers is in elements of the precision, logits are always floats.
template <typename Info>
void check_on_a_gpu(const Info& info) {
  const MemoryCost cpu = estimate_memory(info, Precision::kFp32, 4096);
  const MemoryCost full = estimate_memory(info, Precision::kFp32, 4096, DeviceKind::kGpu);
  EXPECT_GE(full.workspace, cpu.workspace) << info.name;
  // But for the tables of rows, which stay with the host.
  if (cpu.sequence > 0) expect_within_a_tenth(info.name + ": sequence", full.sequence, cpu.sequence);
  for (const Precision precision : {Precision::kFp32, Precision::kFp16, Precision::kBf16}) {
    const std::string what = fmt::format("{} in {}", info.name, to_string(precision));
    const uint64_t element = precision == Precision::kFp32 ? 4 : 2;
    const MemoryCost gpu = estimate_memory(info, precision, 4096, DeviceKind::kGpu);
    expect_within_a_tenth(what + ": weights", gpu.shared_weights, static_cast<uint64_t>(info.parameters) * element);
    if (precision == Precision::kFp32) continue;
    EXPECT_LT(gpu.workspace, full.workspace * 4 / 5) << what;
    EXPECT_GE(gpu.workspace, full.workspace / 2) << what;
    EXPECT_EQ(gpu.sequence, full.sequence / 2) << what;
  }
  const MemoryCost tf32 = estimate_memory(info, Precision::kTf32, 4096, DeviceKind::kGpu);
  EXPECT_EQ(tf32.shared_weights, full.shared_weights) << "rounded as they are multiplied";
  EXPECT_EQ(tf32.workspace, full.workspace);
  const MemoryCost automatic = estimate_memory(info, Precision::kAuto, 4096, DeviceKind::kGpu);
  EXPECT_EQ(automatic.shared_weights, estimate_memory(info, Precision::kFp16, 4096, DeviceKind::kGpu).shared_weights);
  EXPECT_THROW(estimate_memory(info, Precision::kInt8, 4096, DeviceKind::kGpu), Error);
  EXPECT_THROW(estimate_memory(info, Precision::kFp16, 4096), Error);
}

TEST(MemoryCost, OnAGpuParametersAndWorkspaceAreInElementsOfThePrecision) {
  check_on_a_gpu(inspect_embedding_model(hub::resolve_model(hub::kDefaultEmbeddingModel).string()));
  check_on_a_gpu(inspect_summarization_model(Settings{}.summarization_model));
  for (const bool tied : {true, false}) {
    const RandomBart model({.hidden = 128, .positions = 256, .tied = tied});
    check_on_a_gpu(inspect_summarization_model(model.path()));
  }
}

}  // namespace
}  // namespace remuda
