// The GPU's encoder, run on the processor (kernels/cuda/testing), against the CPU's: all that is left to a GPU is its
// own instructions and cuBLASLt.
#include "models/cuda/encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/scratch_directory.h"
#include "device/cuda/cuda_error.h"
#include "kernels/cuda/testing/device_memory.h"
#include "models/gpu_encoder_weights.h"
#include "models/random_weights.h"
#include "models/sentence_encoder.h"
#include "models/vectors_test_support.h"

namespace remuda {
namespace {

using cuda::DeviceMemory;

constexpr int64_t kVocabulary = 101;
constexpr int64_t kPositions = 160;
constexpr int64_t kHidden = 64;
constexpr int64_t kInner = 136;
constexpr int64_t kHeads = 2;

// What distinguishes the models that are tried.
struct Chain {
  const char* name;
  std::string type = "bert";
  std::string activation = "gelu";
  std::string pooling = R"("pooling_mode_mean_tokens": true)";
  int64_t poolings = 1;
  bool projects = false;
  bool normalizes = true;
};

std::ostream& operator<<(std::ostream& out, const Chain& chain) { return out << chain.name; }

class ChainDirectory {
 public:
  explicit ChainDirectory(const Chain& chain) {
    const bool mpnet = chain.type == "mpnet";
    scratch_.write(
        "config.json",
        R"({"model_type": ")" + chain.type + R"(", "hidden_act": ")" + chain.activation + R"(", "vocab_size": 101,)" +
            R"( "max_position_embeddings": 160, "hidden_size": 64, "intermediate_size": 136, "num_attention_heads": 2,)" +
            R"( "num_hidden_layers": 2)" + (mpnet ? R"(, "relative_attention_num_buckets": 32})" : "}"));
    write_random_weights(scratch_.path(), tensors_of(mpnet), 3, RandomType::kF32, 0.4f);
    std::string modules = R"([{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},)"
                          R"( {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"})";
    make("1_Pooling");
    scratch_.write("1_Pooling/config.json",
                   R"({"word_embedding_dimension": 64, "include_prompt": false, )" + chain.pooling + "}");
    if (chain.projects) {
      modules += R"(, {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"})";
      make("2_Dense");
      const int64_t in = chain.poolings * kHidden;
      scratch_.write("2_Dense/config.json", R"({"in_features": )" + std::to_string(in) +
                                                R"(, "out_features": 24, "bias": true,)" +
                                                R"( "activation_function": "torch.nn.modules.activation.Tanh"})");
      write_random_weights(scratch_.path() / "2_Dense", {{"linear.weight", {24, in}}, {"linear.bias", {24}}}, 4,
                           RandomType::kF32, 0.2f);
    }
    if (chain.normalizes) modules += R"(, {"idx": 3, "path": "3", "type": "sentence_transformers.models.Normalize"})";
    scratch_.write("modules.json", modules + "]");
  }

  io::ModelDirectory read() const { return io::read_model_directory(scratch_.path()); }

 private:
  void make(const char* directory) const { std::filesystem::create_directory(scratch_.path() / directory); }

  static RandomTensors tensors_of(bool mpnet) {
    RandomTensors tensors = {{"embeddings.word_embeddings.weight", {kVocabulary, kHidden}},
                             {"embeddings.position_embeddings.weight", {kPositions, kHidden}}};
    if (mpnet) tensors.push_back({"encoder.relative_attention_bias.weight", {32, kHeads}});
    if (!mpnet) tensors.push_back({"embeddings.token_type_embeddings.weight", {2, kHidden}});
    add_norm(tensors, "embeddings.LayerNorm", kHidden);
    for (int64_t i = 0; i < 2; ++i) {
      const std::string layer = "encoder.layer." + std::to_string(i);
      for (const std::string part : {"query", "key", "value"}) {
        add_linear(tensors, layer + (mpnet ? ".attention.attn." + part.substr(0, 1) : ".attention.self." + part),
                   kHidden, kHidden);
      }
      add_linear(tensors, layer + (mpnet ? ".attention.attn.o" : ".attention.output.dense"), kHidden, kHidden);
      add_norm(tensors, layer + (mpnet ? ".attention.LayerNorm" : ".attention.output.LayerNorm"), kHidden);
      add_linear(tensors, layer + ".intermediate.dense", kInner, kHidden);
      add_linear(tensors, layer + ".output.dense", kHidden, kInner);
      add_norm(tensors, layer + ".output.LayerNorm", kHidden);
    }
    return tensors;
  }

  const ScratchDirectory scratch_;
};

struct Batch {
  std::vector<int32_t> ids;
  std::vector<int64_t> offsets = {0};
  std::vector<int64_t> prompts;

  void add(const std::vector<int32_t>& text, int64_t prompt) {
    ids.insert(ids.end(), text.begin(), text.end());
    offsets.push_back(static_cast<int64_t>(ids.size()));
    prompts.push_back(prompt);
  }
  models::RaggedIds ragged() const { return {ids, offsets}; }
  int64_t size() const { return static_cast<int64_t>(prompts.size()); }
};

Batch ragged_batch() {
  std::mt19937 random(5);
  Batch batch;
  for (const size_t length : {5, 1, 17, 64, 2, 70, 33}) {
    std::vector<int32_t> text(length);
    for (int32_t& id : text) id = static_cast<int32_t>(random() % kVocabulary);
    batch.add(text, std::min<int64_t>(batch.size() % 3, static_cast<int64_t>(length) - 1));
  }
  return batch;
}

// The encoder of the GPU's library, with the processor in a GPU's place.
class EncoderOnHost {
 public:
  EncoderOnHost(const io::ModelDirectory& directory, Precision precision) : config_(directory.encoder) {
    const models::GpuEncoderWeights weights(directory, precision);
    const models::cuda::ModelBytes memory = models::cuda::encoder_bytes(weights.host());
    weights_.emplace(memory.weights);
    const DeviceMemory loading(memory.loading);
    encoder_ = models::cuda::load_encoder(stream_, weights.host(), weights_->data(), loading.data());
  }

  std::vector<float> encode(const Batch& batch) const {
    const std::vector<int32_t> positions = models::position_ids(config_, batch.ragged());
    const std::vector<int32_t> skipped(batch.prompts.begin(), batch.prompts.end());
    std::vector<float> vectors(static_cast<size_t>(batch.size() * encoder_->dimension));
    const cuda::HostBatch host = {.ids = batch.ids.data(),
                                  .position_ids = positions.data(),
                                  .offsets = batch.offsets.data(),
                                  .skipped = skipped.data(),
                                  .sequences = batch.size()};
    const DeviceMemory workspace(encoder_->workspace_bytes(host));
    encoder_->encode(stream_, workspace.data(), host, vectors.data());
    return vectors;
  }

  size_t dimension() const { return static_cast<size_t>(encoder_->dimension); }

 private:
  const cuda::Stream stream_ = {.device = 0, .stream = nullptr};
  io::EncoderConfig config_;
  std::optional<DeviceMemory> weights_;
  std::unique_ptr<cuda::Encoder> encoder_;
};

std::vector<float> encode_on_cpu(const io::ModelDirectory& directory, const Batch& batch) {
  ComputePool pool(1);
  const models::SentenceEncoder encoder(directory, Precision::kFp32, pool);
  std::vector<float> vectors(static_cast<size_t>(batch.size() * encoder.dimension()));
  encoder.forward(batch.ragged(), batch.prompts, {{vectors.data(), batch.size(), encoder.dimension()}}, pool);
  return vectors;
}

class CudaEncoder : public testing::TestWithParam<Chain> {
 protected:
  const ChainDirectory files_{GetParam()};
  const io::ModelDirectory directory_ = files_.read();
  const Batch batch_ = ragged_batch();
};

INSTANTIATE_TEST_SUITE_P(
    Chains, CudaEncoder,
    testing::Values(Chain{.name = "bert"}, Chain{.name = "mpnet", .type = "mpnet"},
                    Chain{.name = "bert_cls_gelu_new",
                          .activation = "gelu_new",
                          .pooling = R"("pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false)",
                          .normalizes = false},
                    Chain{.name = "mpnet_relu_max_mean_projected",
                          .type = "mpnet",
                          .activation = "relu",
                          .pooling = R"("pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true)",
                          .poolings = 2,
                          .projects = true}),
    [](const auto& chain) { return chain.param.name; });

TEST_P(CudaEncoder, GivesTheProcessorsAnswersInFp32) {
  const EncoderOnHost encoder(directory_, Precision::kFp32);
  const std::vector<float> expected = encode_on_cpu(directory_, batch_);
  const std::vector<float> found = encoder.encode(batch_);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-5) << i;
}

TEST_P(CudaEncoder, IsNearThemInTheShorterTypes) {
  const std::vector<float> expected = encode_on_cpu(directory_, batch_);
  for (const Precision precision : {Precision::kFp16, Precision::kBf16}) {
    const EncoderOnHost encoder(directory_, precision);
    const std::vector<float> found = encoder.encode(batch_);
    const size_t size = encoder.dimension();
    for (size_t s = 0; s < static_cast<size_t>(batch_.size()); ++s) {
      EXPECT_GT(cosine(std::span(found).subspan(s * size, size), std::span(expected).subspan(s * size, size)),
                precision == Precision::kFp16 ? 0.99999 : 0.9995);
    }
  }
}

// What fp32 is not: to 1e-5 the processor's answers.
TEST_P(CudaEncoder, RoundsToTf32WhereThatIsAskedFor) {
  const std::vector<float> expected = encode_on_cpu(directory_, batch_);
  const EncoderOnHost encoder(directory_, Precision::kTf32);
  const std::vector<float> found = encoder.encode(batch_);
  ASSERT_EQ(found.size(), expected.size());
  float furthest = 0.0f;
  for (size_t i = 0; i < found.size(); ++i) furthest = std::max(furthest, std::abs(found[i] - expected[i]));
  EXPECT_GT(furthest, 2e-5f);
  const size_t size = encoder.dimension();
  for (size_t s = 0; s < static_cast<size_t>(batch_.size()); ++s) {
    EXPECT_GT(cosine(std::span(found).subspan(s * size, size), std::span(expected).subspan(s * size, size)), 0.99999);
  }
}

TEST_P(CudaEncoder, ATextsVectorIsTheSameBytesAlone) {
  const EncoderOnHost encoder(directory_, Precision::kFp16);
  const std::vector<float> together = encoder.encode(batch_);
  for (size_t s = 0; s < static_cast<size_t>(batch_.size()); ++s) {
    Batch one;
    one.add({batch_.ids.begin() + batch_.offsets[s], batch_.ids.begin() + batch_.offsets[s + 1]}, batch_.prompts[s]);
    const std::vector<float> alone = encoder.encode(one);
    EXPECT_TRUE(same_bytes(alone, std::span(together).subspan(s * encoder.dimension(), alone.size())));
  }
}

TEST(CudaEncoderErrors, RefusesWhatWouldReadOutsideTheWeights) {
  const ChainDirectory files(Chain{.name = "bert"});
  const EncoderOnHost encoder(files.read(), Precision::kFp32);
  const auto expect_refused = [&](const std::vector<int32_t>& text, const std::string& what) {
    Batch batch;
    batch.add({1, 2}, 0);
    batch.add(text, 0);
    try {
      encoder.encode(batch);
      ADD_FAILURE() << what;
    } catch (const cuda::StatusError& error) {
      EXPECT_EQ(error.status(), cuda::Status::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  expect_refused({1, kVocabulary}, "ids from 0 to 100, found 101");
  expect_refused({-1}, "found -1");
  expect_refused({}, "found one of 0");
  expect_refused(std::vector<int32_t>(kPositions + 1), "1 to 160 tokens, found one of 161");
}

TEST(CudaEncoderErrors, RefusesMemoryThatIsNotAligned) {
  const ChainDirectory files(Chain{.name = "bert"});
  const models::GpuEncoderWeights weights(files.read(), Precision::kFp32);
  const models::cuda::ModelBytes memory = models::cuda::encoder_bytes(weights.host());
  const DeviceMemory at_weights(memory.weights + 16), at_loading(memory.loading);
  const cuda::Stream stream = {.device = 0, .stream = nullptr};
  void* const shifted = static_cast<std::byte*>(at_weights.data()) + 16;
  EXPECT_THROW(models::cuda::load_encoder(stream, weights.host(), shifted, at_loading.data()), cuda::StatusError);
  EXPECT_THROW(models::cuda::load_encoder(stream, weights.host(), at_weights.data(), nullptr), cuda::StatusError);
}

TEST(CudaEncoderErrors, RefusesShapesThatItsKernelsDoNotDo) {
  cuda::HostEncoder host = {};
  host.vocab_size = host.max_positions = host.num_layers = host.num_heads = host.num_poolings = 1;
  host.hidden_size = 60;
  host.intermediate_size = 64;
  EXPECT_THROW(models::cuda::encoder_bytes(host), cuda::StatusError);
  host.hidden_size = 512;  // One head of 512.
  EXPECT_THROW(models::cuda::encoder_bytes(host), cuda::StatusError);
  host.num_heads = 8;
  EXPECT_GT(models::cuda::encoder_bytes(host).weights, 0u);
  host.intermediate_size = 63;
  EXPECT_THROW(models::cuda::encoder_bytes(host), cuda::StatusError);
}

}  // namespace
}  // namespace remuda
