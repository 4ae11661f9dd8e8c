#include "manager/summarization_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <typeinfo>
#include <utility>

#include "base/fail.h"
#include "device/devices.h"
#include "device/gpu_errors.h"
#include "device/memory_budget.h"
#include "manager/placement.h"
#include "manager/recovery.h"

namespace remuda {
namespace {

constexpr text::DecodeOptions kSummaryText = {.skip_special_tokens = true, .clean_up_tokenization_spaces = {}};

BatchRequestOptions request_options(const SummarizeOptions& options, Deadline deadline) {
  return {.what = "the summarization",
          .priority = options.priority,
          .deadline = deadline,
          .deadline_ends_work = true,
          .keeps_results = options.partial,
          .cancelled = options.cancelled,
          .stop = options.stop};
}

// Nothing where it can't be used: who computes there finds out why.
std::optional<Device> working_gpu(const std::string& device) {
  std::optional<Device> gpu = current_device(device);
  return gpu && gpu->problem.empty() ? gpu : std::nullopt;
}

// Of a GPU, bytes that documents may take beside the weights that are there, if nobody else has any of it; workspaces
// of others in this process may have to go, or to end, first. 0: nobody knows.
uint64_t most_room_on(const std::string& device) {
  const std::optional<Device> gpu = working_gpu(device);
  if (!gpu) return 0;
  const uint64_t total = less_headroom(gpu->memory_total);
  return std::max<uint64_t>(1, total - std::min(total, MemoryBudget::of(device).stats().weights));
}

models::BatchLimits limits_of(const SummarizationModel& model, const std::string& device) {
  models::BatchLimits limits{.max_tokens = SummarizeOptions::default_max_batch_tokens(kind_of(device))};
  if (kind_of(device) == DeviceKind::kCpu) {
    limits.budget = &MemoryBudget::cpu();
    limits.budget->left_by_weights();  // Looks at the machine.
    limits.weights = model.bytes();
  } else {
    limits.max_bytes = most_room_on(device);
  }
  return limits;
}

// What is wrong with a document says which one it is.
std::exception_ptr name_document(const std::exception_ptr& error, int64_t document) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& found) {
    if (typeid(found) != typeid(Error) || found.code() != ErrorCode::kInvalidArgument) return error;
    return std::make_exception_ptr(Error(found.code(), fmt::format("document {}: {}", document, found.what())));
  } catch (...) {
    return error;
  }
}

// Whether a call should end now, with what there is.
bool ends_early(const SummarizationRun& run) {
  if (!run.options.partial) {
    throw_if_over(run.options, run.deadline);
    return false;
  }
  return is_cancelled(run.options) || run.deadline.expired();
}

}  // namespace

SummarizationRequest::SummarizationRequest(std::shared_ptr<const text::Tokenizer> tokenizer,
                                           std::vector<TokenizedDocument> documents,
                                           std::shared_ptr<const GenerationPlan> plan, SummarizeOptions options,
                                           Deadline deadline)
    : BatchRequest(request_options(options, deadline)),
      tokenizer_(std::move(tokenizer)),
      options_(std::move(options)),
      documents_(documents.size()),
      summaries_(documents.size()) {
  for (size_t i = 0; i < documents.size(); ++i) {
    TokenizedDocument& document = documents[i];
    Summary& summary = summaries_[i];
    summary.input_tokens = document.total_tokens;
    summary.used_tokens = std::ssize(document.ids);
    summary.invalid_sequences = document.invalid_sequences;
    if (document.ids.empty()) continue;
    summary.best.complete = false;
    documents_[i] = {.ids = std::move(document.ids), .plan = plan, .max_tokens = options_.max_batch_tokens};
    waiting_.push_back(static_cast<int64_t>(i));
  }
}

void SummarizationRequest::give_back(int64_t document, std::exception_ptr why) {
  waiting_.insert(std::ranges::lower_bound(waiting_, document), document);
  const auto told = told_.find(document);
  if (told == told_.end()) return;
  told->second.confirmed = 0;
  told->second.given_up = std::move(why);
}

void SummarizationRequest::collect_news() {
  collected_.insert(collected_.end(), std::make_move_iterator(news_.begin()), std::make_move_iterator(news_.end()));
  news_.clear();
}

void SummarizationRequest::deliver_news() {
  for (const News& news : std::exchange(collected_, {})) options_.on_text(news.document, news.text);
}

void SummarizationRequest::add_text(int64_t document, std::string text) {
  Told& told = told_[document];
  const size_t known = std::min(text.size(), told.text.size() - told.confirmed);
  if (text.compare(0, known, told.text, told.confirmed, known) != 0) {
    fail(told.given_up);
    return;
  }
  told.confirmed += known;
  text.erase(0, known);
  if (text.empty()) return;
  told.text += text;
  told.confirmed = told.text.size();
  news_.push_back({document, std::move(text)});
}

void SummarizationRequest::set_results(int64_t document, std::vector<GeneratedText> results) {
  const auto told = told_.find(document);
  const bool is_short = told != told_.end() && told->second.confirmed < told->second.text.size();
  if (is_short && !is_over()) fail(told->second.given_up);
  documents_[static_cast<size_t>(document)].ids = {};
  Summary& summary = summaries_[static_cast<size_t>(document)];
  for (size_t i = 0; i < results.size(); ++i) {
    if (i == 0) {
      summary.best = std::move(results[i]);
    } else {
      summary.others.push_back(std::move(results[i]));
    }
  }
}

SummarizationBatch::Stream::Stream(const text::Tokenizer& tokenizer) : text(tokenizer, kSummaryText) {}

SummarizationBatch::SummarizationBatch(const SummarizationModel& model, BatchPlace place)
    : model_(model), place_(std::move(place)), batch_(model.bart->make_engine(), limits_of(model, place_.device)) {
  look_at_room();
}

// What other processes have of a GPU changes at any time. Without a lock: who finds that a GPU is lost tells everybody.
void SummarizationBatch::look_at_room() {
  room_is_old_ = false;
  if (kind_of(place_.device) == DeviceKind::kCpu) return;
  if (!working_gpu(place_.device)) {
    batch_.set_room({});
    return;
  }
  const uint64_t bytes = MemoryBudget::of(place_.device).left_by_weights();
  batch_.set_room({.device = place_.device,
                   .bytes = bytes,
                   .share = bytes / static_cast<uint64_t>(std::max<int64_t>(1, place_.sharers))});
}

void SummarizationBatch::take(RequestQueue& queue, BatchSession::Requests& changed) {
  while (const RequestQueue::Pointer front = queue.front()) {
    auto request = std::static_pointer_cast<SummarizationRequest>(front);
    try {
      if (!batch_.has_room(request->next())) return;
      const int64_t number = batch_.add(request->next());
      Member& member = members_[number];
      member.request = request;
      member.document = request->next_number();
      if (request->wants_text()) member.stream.emplace(*model_.tokenizer);
    } catch (...) {
      request->fail(std::current_exception());
      queue.remove(*request);
      changed.push_back(std::move(request));
      continue;
    }
    request->take_next();
    request->begin_part();
    queue.served();
  }
}

void SummarizationBatch::step() noexcept {
  try {
    if (room_is_old_) look_at_room();
    const std::span<const int64_t> stepped = batch_.step();
    stepped_.assign(stepped.begin(), stepped.end());
  } catch (...) {
    stepped_.clear();
    if (is_of_gpu(std::current_exception())) {
      place_error_ = std::current_exception();
      return;
    }
    // No memory even for the numbers.
    for (auto& [number, member] : members_) {
      member.error = std::current_exception();
      stepped_.push_back(number);
    }
    return;
  }
  for (const int64_t number : stepped_) {
    try {
      look_at(number);
    } catch (...) {
      members_.at(number).error = std::current_exception();
    }
  }
}

// After a step of this document: what is settled becomes text, and so do its results when it has finished.
void SummarizationBatch::look_at(int64_t number) {
  Member& member = members_.at(number);
  member.error = batch_.error(number);
  if (member.error != nullptr) return;
  const Search& search = *batch_.search(number);
  if (member.stream) {
    Stream& stream = *member.stream;
    const std::span<const int32_t> settled = search.settled();
    if (std::ssize(settled) > stream.given) {  // Else it is on its way there again.
      member.text = stream.text.add(settled.subspan(static_cast<size_t>(stream.given)));
      stream.given = std::ssize(settled);
    }
    if (search.finished()) member.text += stream.text.finish();
  }
  if (search.finished()) member.results = results_of(search);
}

void SummarizationBatch::settle(BatchSession::Requests& changed) {
  for (const int64_t number : stepped_) {
    Member& member = members_.at(number);
    SummarizationRequest& request = *member.request;
    if (!member.text.empty()) request.add_text(member.document, std::exchange(member.text, {}));
    if (member.error != nullptr) request.fail(name_document(member.error, member.document));
    const bool has_finished = member.error != nullptr || member.results;
    if (member.results) request.set_results(member.document, std::move(*member.results));
    if (has_finished) request.end_part();
    if (request.is_done() || request.has_news()) changed.push_back(member.request);
    if (!has_finished) continue;
    batch_.forget(number);
    members_.erase(number);
  }
  if (members_.empty()) room_is_old_ = true;
  stepped_.clear();
}

void SummarizationBatch::drop_ended(BatchSession::Requests& changed) {
  for (auto entry = members_.begin(); entry != members_.end();) {
    const auto& [number, member] = *entry;
    SummarizationRequest& request = *member.request;
    if (!request.is_over()) {
      ++entry;
      continue;
    }
    const Search* search = batch_.search(number);
    if (request.error() == nullptr && search != nullptr) request.set_results(member.document, results_of(*search));
    request.end_part();
    changed.push_back(member.request);
    batch_.forget(number);
    entry = members_.erase(entry);
  }
}

BatchSession::Requests SummarizationBatch::take_back() {
  BatchSession::Requests requests;
  drop_ended(requests);
  for (auto& [number, member] : members_) {
    member.request->return_part();
    member.request->give_back(member.document, place_error_);
    requests.push_back(std::move(member.request));
    batch_.forget(number);
  }
  members_.clear();
  place_error_ = nullptr;
  room_is_old_ = true;
  return requests;
}

std::vector<GeneratedText> SummarizationBatch::results_of(const Search& search) const {
  std::vector<GeneratedText> texts;
  for (Hypothesis& found : search.results()) {
    std::string text = model_.tokenizer->decode(found.ids, kSummaryText);
    texts.push_back(
        {.text = std::move(text), .ids = std::move(found.ids), .score = found.score, .complete = found.complete});
  }
  return texts;
}

std::vector<Summary> summarize_documents(const SummarizationModel& model, std::vector<TokenizedDocument> documents,
                                         const SummarizationRun& run) {
  const auto request = std::make_shared<SummarizationRequest>(model.tokenizer, std::move(documents), run.plan,
                                                              run.options, run.deadline);
  RequestQueue queue;
  if (request->has_waiting()) queue.push(request);
  SummarizationBatch batch(model, run.place);
  BatchSession::Requests changed;
  while (!request->is_done()) {
    if (ends_early(run)) {
      request->end_early();
      batch.drop_ended(changed);
      break;
    }
    batch.take(queue, changed);
    batch.step();
    if (batch.place_error() != nullptr) rethrow_to_holder(batch.place_error());
    batch.settle(changed);
    request->collect_news();
    request->deliver_news();
  }
  if (request->error() != nullptr) std::rethrow_exception(request->error());
  return request->take_summaries();
}

}  // namespace remuda
