#include "models/gpu_bart.h"

#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "models/bart_documents.h"
#include "models/gpu_bart_weights.h"
#include "models/gpu_models.h"

namespace remuda::models {
namespace {

remuda::cuda::HostLimits host_limits(const DecodeLimits& limits) {
  return {.max_rows = limits.max_rows, .max_positions = limits.max_positions};
}

}  // namespace

GpuBart::GpuBart(const io::BartConfig& config, const io::Checkpoint& checkpoint, const std::string& device,
                 Precision precision)
    : models_(gpu_bart_models()),
      config_(config),
      memory_(config, precision, DeviceKind::kGpu),
      model_(device, models_.unload_bart) {
  const GpuBartWeights host(config_, checkpoint, precision);
  model_.load(host.host(), checkpoint.files().front().path().string(), "loading a BART", models_.bart_bytes,
              models_.load_bart);
  checkpoint.drop_pages();
}

size_t GpuBart::document_bytes(int64_t encoder_tokens, const DecodeLimits& limits) const {
  const remuda::cuda::HostLimits host = host_limits(limits);
  return model_.ask_bytes("a document", models_.document_bytes, encoder_tokens, &host);
}

size_t GpuBart::encode_bytes(int64_t tokens) const {
  return model_.ask_bytes("encoding documents", models_.encode_bytes, memory_.tokens_at_once(tokens));
}

remuda::cuda::HostStepRoom GpuBart::room_for(int64_t rows) const {
  const BartMemory::StepRoom room = memory_.step_room(rows);
  return {.rows = room.rows, .k = room.ranked, .rule_tokens = room.rule_tokens};
}

uint64_t GpuBart::room_bytes(const remuda::cuda::HostStepRoom& room) const {
  return model_.ask_bytes("a decoder's step", models_.step_bytes, &room);
}

size_t GpuBart::step_bytes(int64_t rows) const { return room_bytes(room_for(rows)); }

GpuBart::Document::Document(int64_t encoder_tokens, const DecodeLimits& limits, GpuStream& stream,
                            GpuArena::Block memory)
    : stream_(stream),
      encoder_tokens_(encoder_tokens),
      limits_(limits),
      memory_(std::move(memory)),
      numbers_(static_cast<size_t>(2 * limits.max_rows * limits.max_positions)),
      tables_(limits.max_rows, limits.max_positions, numbers_.data(),
              numbers_.data() + limits.max_rows * limits.max_positions) {}

GpuBart::Document::~Document() { give_back(memory_, stream_); }

GpuBart::Decoder::Decoder(const GpuBart& bart)
    : bart_(bart), stream_(gpu_backend(), bart.model_.number()), decoder_(nullptr, bart.models_.destroy_decoder) {
  remuda::cuda::BartDecoder* made = nullptr;
  bart_.model_.call("a decoder", bart_.models_.make_decoder, stream_.get(), &made);
  decoder_.reset(made);
}

GpuBart::Decoder::~Decoder() {
  decoder_.reset();
  give_back(workspace_, stream_);
}

std::vector<std::unique_ptr<GpuBart::Document>> GpuBart::Decoder::encode(const RaggedIds& batch,
                                                                         std::span<const DecodeLimits> limits) {
  check_documents(bart_.config_, batch);
  check_limits(bart_.config_, limits, batch.sequences());
  std::vector<std::unique_ptr<Document>> documents;
  if (limits.empty()) return documents;
  std::vector<uint64_t> bytes;
  for (size_t i = 0; i < limits.size(); ++i) {
    bytes.push_back(bart_.document_bytes(batch.offsets[i + 1] - batch.offsets[i], limits[i]));
  }
  GpuArena::Block workspace =
      bart_.model_.arena().allocate(bart_.encode_bytes(batch.offsets.back()), stream_, "encoding documents");
  for (size_t i = 0; i < limits.size(); ++i) {
    GpuArena::Block memory = bart_.model_.arena().allocate(bytes[i], stream_, "a document");
    documents.push_back(std::unique_ptr<Document>(
        new Document(batch.offsets[i + 1] - batch.offsets[i], limits[i], stream_, std::move(memory))));
  }
  encode_in_parts(batch, bart_.memory_.tokens_at_once(batch.offsets.back()), [&](const RaggedIds& part, size_t first) {
    encode_some(part, std::span(documents).subspan(first, static_cast<size_t>(part.sequences())), workspace);
  });
  give_back(workspace, stream_);
  return documents;
}

void GpuBart::Decoder::encode_some(const RaggedIds& batch, std::span<const std::unique_ptr<Document>> documents,
                                   const GpuArena::Block& workspace) {
  std::vector<void*> memories;
  for (const std::unique_ptr<Document>& document : documents) memories.push_back(document->memory_.data());
  const remuda::cuda::HostDocuments host = {
      .ids = batch.ids.data(), .offsets = batch.offsets.data(), .documents = batch.sequences()};
  bart_.model_.call("encoding documents", bart_.models_.encode, stream_.get(), workspace.data(), &host,
                    memories.data());
}

void GpuBart::Decoder::make_room(int64_t rows, int64_t k, int64_t rule_tokens) {
  if (rows <= room_.rows && k <= room_.k && rule_tokens <= room_.rule_tokens) return;
  remuda::cuda::HostStepRoom room = bart_.room_for(std::max(rows, room_.rows));
  const auto at_least = [](int64_t& has, int64_t wanted) {
    while (has < wanted) has *= 2;
  };
  at_least(room.k, std::max(k, room_.k));
  at_least(room.rule_tokens, std::max(rule_tokens, room_.rule_tokens));
  room.k = std::min<int64_t>(room.k, remuda::cuda::kMaxRanked);
  // The old one first, which may be most of the new one. Until that is there, there is no room for anything.
  room_ = {};
  give_back(workspace_, stream_);
  workspace_ = bart_.model_.arena().allocate_more(bart_.room_bytes(room), stream_, "a decoder's step");
  call_gpu(stream_.number(), "a decoder's step", bart_.models_.set_workspace, decoder_.get(), workspace_.data(), &room);
  room_ = room;
}

GpuBart::Decoder::Ranked GpuBart::Decoder::step(std::span<const Rows> documents, std::span<const RowRanking> rankings,
                                                int64_t k) {
  tokens_.clear();
  parents_.clear();
  for (const Rows& each : documents) {
    const size_t first = parents_.size();
    for (const auto& [token, parent] : each.rows) {
      tokens_.push_back(token);
      parents_.push_back(parent);
    }
    each.document->tables_.check_advance(std::span(parents_).subspan(first));
  }
  check_vocabulary(tokens_, bart_.config_.vocab_size);
  if (tokens_.empty()) return {};
  const auto rows = std::ssize(tokens_);
  if (k < 0 || k > std::min<int64_t>(remuda::cuda::kMaxRanked, bart_.config_.vocab_size)) {
    fail(ErrorCode::kInvalidArgument, "ranked tokens: expected 0 to {}, found {}",
         std::min<int64_t>(remuda::cuda::kMaxRanked, bart_.config_.vocab_size), k);
  }
  check_invariant(k == 0 || std::ssize(rankings) == rows, "every row that is ranked has rules");
  int64_t rule_tokens = 0;
  host_rules_.clear();
  for (const auto& [rules, first] : rankings) {
    rule_tokens += std::ssize(rules.penalized) + std::ssize(rules.forbidden);
    host_rules_.push_back({.penalized = rules.penalized.data(),
                           .forbidden = rules.forbidden.data(),
                           .num_penalized = static_cast<int32_t>(rules.penalized.size()),
                           .num_forbidden = static_cast<int32_t>(rules.forbidden.size()),
                           .penalty = rules.penalty,
                           .rules_come_first = first ? 1 : 0});
  }
  make_room(rows, k, rule_tokens);
  host_documents_.clear();
  size_t first = 0;
  for (const Rows& each : documents) {
    Document& document = *each.document;
    document.tables_.advance(std::span(parents_).subspan(first, each.rows.size()));
    first += each.rows.size();
    host_documents_.push_back({.memory = document.memory_.data(),
                               .encoder_tokens = document.encoder_tokens_,
                               .limits = host_limits(document.limits_),
                               .rows = static_cast<int32_t>(document.tables_.rows()),
                               .length = static_cast<int32_t>(document.tables_.length()),
                               .tables = document.tables_.table(0),
                               .table_stride = document.tables_.stride()});
  }
  scores_.resize(static_cast<size_t>(rows * k));
  best_.resize(static_cast<size_t>(rows * k));
  const remuda::cuda::HostStep host = {.documents = host_documents_.data(),
                                       .num_documents = std::ssize(host_documents_),
                                       .tokens = tokens_.data(),
                                       .rules = host_rules_.data(),
                                       .k = k,
                                       .scores = scores_.data(),
                                       .best = best_.data()};
  call_gpu(stream_.number(), "a decoder's step", bart_.models_.step, decoder_.get(), &host);
  return {scores_, best_};
}

MatrixView<const float> GpuBart::Decoder::fetch_logits(std::span<const int32_t> rows) {
  const int64_t vocabulary = bart_.config_.vocab_size;
  logits_.resize(rows.size() * static_cast<size_t>(vocabulary));
  call_gpu(stream_.number(), "logits", bart_.models_.fetch_logits, decoder_.get(), rows.data(), std::ssize(rows),
           logits_.data());
  return {logits_.data(), std::ssize(rows), vocabulary};
}

uint64_t GpuBart::Decoder::replayed_steps() const { return bart_.models_.replayed_steps(decoder_.get()); }

}  // namespace remuda::models
