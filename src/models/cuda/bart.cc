#include "models/cuda/bart.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "models/cuda/bart_decoder.h"

namespace remuda::models::cuda {
namespace {

using kernels::cuda::AttentionTile;
using kernels::cuda::Product;
using kernels::cuda::ProductShape;
using remuda::cuda::HostBartSide;
using remuda::cuda::HostDocuments;
using remuda::cuda::Stream;

LayerShape layer_shape(const HostBart& host, const HostBartSide& side, bool has_few_rows) {
  return {.hidden_size = host.d_model,
          .inner_size = side.inner_size,
          .num_heads = side.num_heads,
          .epsilon = host.layer_norm_epsilon,
          .activation = static_cast<kernels::Activation>(host.activation),
          .uses_tf32 = host.computed_as == remuda::cuda::NumberType::kTf32,
          .has_few_rows = has_few_rows};
}
LayerShape encoder_shape(const HostBart& host) { return layer_shape(host, host.encoder, false); }
LayerShape decoder_shape(const HostBart& host) { return layer_shape(host, host.decoder, true); }

// Beside those of layers.
template <class Element>
struct BartProductShapes {
  explicit BartProductShapes(const HostBart& host)
      : cross_key_value(Layers<Element>::product(encoder_shape(host), int64_t{2} * host.d_model, host.d_model, true)),
        cross_query(Layers<Element>::product(decoder_shape(host), host.d_model, host.d_model, true)),
        cross_output(Layers<Element>::product(decoder_shape(host), host.d_model, host.d_model, false)),
        logits(Layers<Element>::product(decoder_shape(host), logits_columns(host), host.d_model, false)) {
    logits.gives_floats = true;
  }

  ProductShape cross_key_value, cross_query, cross_output, logits;
};

template <class Element>
uint64_t trial_bytes(const HostBart& host) {
  const BartProductShapes<Element> shapes(host);
  return std::max({Layers<Element>::trial_bytes(encoder_shape(host)), Layers<Element>::trial_bytes(decoder_shape(host)),
                   Product::trial_bytes(shapes.cross_key_value), Product::trial_bytes(shapes.cross_query),
                   Product::trial_bytes(shapes.cross_output), Product::trial_bytes(shapes.logits)});
}

// What encoding works with: inputs, which go to the GPU in one piece, then rows.
struct EncodeInputs {
  int32_t* ids;          // [tokens]
  int32_t* positions;    // [tokens]
  AttentionTile* tiles;  // [tokens], of which those come first that there are
};
EncodeInputs lay_out_encode_inputs(int64_t tokens, Parts& parts) {
  EncodeInputs inputs;
  inputs.ids = parts.take<int32_t>(tokens);
  inputs.positions = parts.take<int32_t>(tokens);
  inputs.tiles = parts.take<AttentionTile>(tokens);
  return inputs;
}

void check_documents(const HostBart& host, const HostDocuments& documents) {
  check_lengths(documents.offsets, documents.documents, host.max_positions, "document");
  check_ids(documents.ids, documents.offsets[documents.documents], host.vocab_size, "encode: expected ids");
}

template <class Element>
class TypedBart : public remuda::cuda::Bart {
 public:
  TypedBart(const Stream& stream, const HostBart& host, void* weights, void* loading)
      : host_(host),
        tile_queries_(kernels::cuda::attention_tile_queries<Element>(cuda::decoder_shape(host).head_dim())) {
    check_memory(weights, "weights");
    check_memory(loading, "loading");
    device = stream.device;
    Parts parts(weights);
    weights_ = lay_out<Element>(host, parts);
    upload(host, weights_, loading, stream.stream);
    plan_products(loading, stream.stream);
  }

  const HostBart& host() const { return host_; }
  const LayerShape& decoder_shape() const { return decoder_->shape(); }
  int tile_queries() const { return tile_queries_; }

  uint64_t document_bytes(int64_t encoder_tokens, const HostLimits& limits) const override {
    check_limits(host_, encoder_tokens, limits);
    Parts counted;
    lay_out_document<Element>(host_, encoder_tokens, limits, counted);
    return counted.bytes();
  }
  uint64_t encode_bytes(int64_t tokens) const override {
    if (tokens < 1 || tokens > std::numeric_limits<int32_t>::max()) refuse("encode: expected 1 to 2^31 - 1 tokens");
    Parts counted;
    lay_out_encode_inputs(tokens, counted);
    lay_out_rows<Element>(encoder_->shape(), tokens, nullptr, counted);
    return counted.bytes();
  }
  uint64_t step_bytes(const HostStepRoom& room) const override {
    check_room(host_, room);
    Parts counted;
    lay_out_step<Element>(host_, decoder_shape(), room, nullptr, counted);
    return counted.bytes();
  }

  void encode(const Stream& stream, void* workspace, const HostDocuments& documents,
              void* const* memories) const override {
    check_documents(host_, documents);
    check_memory(workspace, "workspace");
    for (int64_t i = 0; i < documents.documents; ++i) check_memory(memories[i], "document");
    const int64_t tokens = documents.offsets[documents.documents];
    Parts parts(workspace);
    const EncodeInputs inputs = lay_out_encode_inputs(tokens, parts);
    const auto at = lay_out_rows<Element>(encoder_->shape(), tokens, stream.stream, parts);
    const std::vector<AttentionTile> tiles =
        kernels::cuda::attention_tiles(std::span(documents.offsets, static_cast<size_t>(documents.documents) + 1),
                                       kernels::cuda::attention_tile_queries<Element>(encoder_->shape().head_dim()));
    const std::vector<std::byte> packed = pack(documents, tiles);
    copy_to_device(workspace, packed.data(), packed.size(), stream.stream);
    embed(at, inputs.ids, inputs.positions, weights_.encoder);
    for (const LayerWeights<Element>& layer : weights_.encoder_layers) {
      encoder_->project(at, layer);
      kernels::cuda::attention(encoder_->self_attention(at, inputs.tiles, std::ssize(tiles)), stream.stream);
      encoder_->add_attention(at, layer);
      encoder_->feed_forward(at, layer);
    }
    add_cross_attention(at, documents, memories);
    remuda::cuda::check(cudaStreamSynchronize(stream.stream), "encode");
  }

  std::unique_ptr<remuda::cuda::BartDecoder> make_decoder(const Stream& stream) const override {
    return std::make_unique<TypedBartDecoder<Element, TypedBart>>(*this, stream);
  }

  // Puts a step of at.rows.rows rows into the stream's order. What it does depends on the inputs, how it does it on its
  // parameters alone: so it can be captured.
  void launch_step(const StepWorkspace<Element>& at, int64_t rows, int64_t k) const {
    embed(at.rows, at.inputs.tokens, at.inputs.positions, weights_.decoder);
    for (size_t i = 0; i < weights_.decoder_layers.size(); ++i) {
      const BartDecoderLayerWeights<Element>& layer = weights_.decoder_layers[i];
      attend_to_itself(at, layer.own, static_cast<int>(i));
      attend_to_document(at, layer, static_cast<int>(i));
      decoder_->feed_forward(at.rows, layer.own);
    }
    logits_->multiply(at.rows.hidden, weights_.output, nullptr, at.logits, rows, at.rows.stream);
    if (weights_.output_bias != nullptr) {
      kernels::cuda::activate(kernels::cuda::ActivateParams<float>{.x = at.logits,
                                                                   .bias = weights_.output_bias,
                                                                   .activation = kernels::Activation::kNone,
                                                                   .rows = rows,
                                                                   .columns = static_cast<int>(logits_columns(host_))},
                              at.rows.stream);
    }
    if (k == 0) return;
    kernels::cuda::rank({.logits = at.logits,
                         .logits_stride = logits_columns(host_),
                         .rows = rows,
                         .vocabulary = host_.vocab_size,
                         .k = static_cast<int>(k),
                         .rules = at.inputs.rules,
                         .tokens = at.inputs.numbers,
                         .scores = reinterpret_cast<float*>(at.results),
                         .best = at.results + rows * k},
                        at.rows.stream);
  }

 private:
  void plan_products(void* trial, cudaStream_t stream) {
    const BartDecoderLayerWeights<Element>& first = weights_.decoder_layers.front();
    encoder_ = std::make_unique<Layers<Element>>(encoder_shape(host_), weights_.encoder_layers.front(), trial, stream);
    decoder_ = std::make_unique<Layers<Element>>(cuda::decoder_shape(host_), first.own, trial, stream);
    const BartProductShapes<Element> shapes(host_);
    const auto plan = [&](const ProductShape& shape, const Element* weights, const Element* bias) {
      return std::make_unique<Product>(shape, weights, bias, trial, stream);
    };
    cross_key_value_ = plan(shapes.cross_key_value, first.cross_key_value, first.cross_key_value_bias);
    cross_query_ = plan(shapes.cross_query, first.cross_query, first.cross_query_bias);
    cross_output_ = plan(shapes.cross_output, first.cross_output, nullptr);
    logits_ = plan(shapes.logits, weights_.output, nullptr);
  }

  static std::vector<std::byte> pack(const HostDocuments& documents, const std::vector<AttentionTile>& tiles) {
    const int64_t tokens = documents.offsets[documents.documents];
    Parts counted;
    lay_out_encode_inputs(tokens, counted);
    std::vector<std::byte> bytes(counted.bytes());
    Parts parts(bytes.data());
    const EncodeInputs to = lay_out_encode_inputs(tokens, parts);
    std::copy_n(documents.ids, tokens, to.ids);
    for (int64_t i = 0; i < documents.documents; ++i) {
      std::iota(to.positions + documents.offsets[i], to.positions + documents.offsets[i + 1], 0);
    }
    std::copy(tiles.begin(), tiles.end(), to.tiles);
    return bytes;
  }

  void embed(const LayerRows<Element>& at, const int32_t* ids, const int32_t* positions,
             const BartSideWeights<Element>& side) const {
    kernels::cuda::embed(kernels::cuda::EmbedParams<Element>{.ids = ids,
                                                             .position_ids = positions,
                                                             .words = side.words,
                                                             .positions = side.positions,
                                                             .scale = host_.embedding_scale,
                                                             .norm = {side.embedding_gamma, side.embedding_beta,
                                                                      host_.layer_norm_epsilon},
                                                             .y = at.hidden,
                                                             .rows = at.rows,
                                                             .columns = host_.d_model},
                         at.stream);
  }

  // Every decoder layer's keys and values of the encoder's output, to the documents' memory.
  void add_cross_attention(const LayerRows<Element>& at, const HostDocuments& documents, void* const* memories) const {
    const int64_t width = int64_t{2} * host_.d_model;
    Element* const keys_values = at.query_key_value;  // [tokens, 2 * d_model]
    for (size_t layer = 0; layer < weights_.decoder_layers.size(); ++layer) {
      const BartDecoderLayerWeights<Element>& weights = weights_.decoder_layers[layer];
      cross_key_value_->multiply(at.hidden, weights.cross_key_value, weights.cross_key_value_bias, keys_values, at.rows,
                                 at.stream);
      for (int64_t i = 0; i < documents.documents; ++i) {
        const int64_t elements = (documents.offsets[i + 1] - documents.offsets[i]) * width;
        remuda::cuda::check(
            cudaMemcpyAsync(static_cast<Element*>(memories[i]) + static_cast<int64_t>(layer) * elements,
                            keys_values + documents.offsets[i] * width, static_cast<size_t>(elements) * sizeof(Element),
                            cudaMemcpyDeviceToDevice, at.stream),
            "cudaMemcpyAsync");
      }
    }
  }

  void attend_to_itself(const StepWorkspace<Element>& at, const LayerWeights<Element>& weights, int layer) const {
    const int64_t size = host_.d_model;
    decoder_->project(at.rows, weights);
    kernels::cuda::cached_attention(
        kernels::cuda::CachedAttentionParams<Element>{.q = at.rows.query_key_value,
                                                      .k = at.rows.query_key_value + size,
                                                      .v = at.rows.query_key_value + 2 * size,
                                                      .stride = 3 * size,
                                                      .sequences = at.inputs.rows,
                                                      .tables = at.inputs.numbers,
                                                      .layer = layer,
                                                      .out = at.rows.context,
                                                      .out_stride = size,
                                                      .count = at.rows.rows,
                                                      .num_heads = host_.decoder.num_heads,
                                                      .head_dim = decoder_shape().head_dim(),
                                                      .scale = decoder_shape().score_scale()},
        at.rows.stream);
    decoder_->add_attention(at.rows, weights);
  }

  void attend_to_document(const StepWorkspace<Element>& at, const BartDecoderLayerWeights<Element>& weights,
                          int layer) const {
    const int64_t size = host_.d_model;
    const LayerRows<Element>& rows = at.rows;
    Element* const query = rows.query_key_value;  // [rows, d_model]
    cross_query_->multiply(rows.hidden, weights.cross_query, weights.cross_query_bias, query, rows.rows, rows.stream);
    kernels::cuda::attention(kernels::cuda::AttentionParams<Element>{.q = query,
                                                                     .q_stride = size,
                                                                     .kv_stride = 2 * size,
                                                                     .out = rows.context,
                                                                     .out_stride = size,
                                                                     .tiles = at.inputs.tiles,
                                                                     .num_tiles = rows.rows,
                                                                     .num_heads = host_.decoder.num_heads,
                                                                     .head_dim = decoder_shape().head_dim(),
                                                                     .scale = decoder_shape().score_scale(),
                                                                     .tile_keys = at.inputs.tile_keys,
                                                                     .layer = layer},
                             rows.stream);
    cross_output_->multiply(rows.context, weights.cross_output, nullptr, rows.product, rows.rows, rows.stream);
    add_and_normalize(decoder_shape(), rows, weights.cross_output_bias, weights.cross_gamma, weights.cross_beta);
  }

  HostBart host_;  // Of which only sizes are looked at.
  int tile_queries_;
  BartWeights<Element> weights_;
  std::unique_ptr<const Layers<Element>> encoder_, decoder_;
  std::unique_ptr<const Product> cross_key_value_, cross_query_, cross_output_, logits_;
};

}  // namespace

ModelBytes bart_bytes(const HostBart& host) {
  check_shape(host);
  return with_element(host.computed_as, [&](auto element) {
    using Element = decltype(element);
    Parts counted;
    lay_out<Element>(host, counted);
    // One after the other.
    return ModelBytes{counted.bytes(), std::max(staging_bytes(host), trial_bytes<Element>(host))};
  });
}

std::unique_ptr<remuda::cuda::Bart> load_bart(const Stream& stream, const HostBart& host, void* weights,
                                              void* loading) {
  check_shape(host);
  return with_element(host.computed_as, [&](auto element) -> std::unique_ptr<remuda::cuda::Bart> {
    return std::make_unique<TypedBart<decltype(element)>>(stream, host, weights, loading);
  });
}

}  // namespace remuda::models::cuda
