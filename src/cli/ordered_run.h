// Reads texts, computes what is asked of them and writes it, at the same time, in input order, with a bounded part of
// the input in memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <optional>
#include <utility>

#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/text_reader.h"

namespace remuda::cli {

// The reader's chunks to `Result`s. Whatever the two functions use must outlive the run.
template <typename Result>
class OrderedRun {
 public:
  struct Work {
    // Called for several chunks at once, on threads of its own. Should end soon, by an error or with what there is,
    // once given_up() is true.
    std::function<Result(const TextChunk&)> compute;
    // Called for each chunk in input order, on the thread that runs.
    std::function<void(Result)> write;
  };

  // At most `chunks_at_once` are computed at the same time. `what` names the texts, for the progress.
  OrderedRun(TextReader& reader, int64_t chunks_at_once, const char* what, Work work)
      : reader_(reader),
        chunks_at_once_(static_cast<size_t>(chunks_at_once)),
        work_(std::move(work)),
        progress_(reader.total_bytes(), what) {}
  // Gives up what is still being computed.
  ~OrderedRun() { abandoned_ = true; }  // The futures wait for their threads.
  OrderedRun(const OrderedRun&) = delete;
  OrderedRun& operator=(const OrderedRun&) = delete;

  // Until the end of the input, an interruption, or a failure, before which everything up to it is written. Throws what
  // `write` throws.
  void run() {
    stream();
    while (!chunks_.empty()) write_oldest();
  }

  // Ends the run as a failure of the computation does; for `write`, where a result turns out to be one.
  void end(std::exception_ptr failure) {
    failure_ = std::move(failure);
    abandoned_ = true;
  }

  // What went wrong with the input or the computation, if anything.
  std::exception_ptr failure() const { return failure_; }

  // Whether results are no longer wanted. Thread-safe.
  bool given_up() const { return abandoned_ || interrupted(); }

 private:
  struct Chunk {
    std::future<Result> result;
    int64_t texts;
    uint64_t input_end;  // Bytes of the input up to here.
  };

  // Starts the next chunk; false at the end of the input and at an error in it.
  bool start_next() {
    TextChunk chunk;
    try {
      if (!reader_.read(chunk)) return false;
    } catch (...) {
      failure_ = std::current_exception();
      return false;
    }
    const auto count = std::ssize(chunk.texts);
    auto compute = [this, chunk = std::move(chunk)] { return work_.compute(chunk); };
    chunks_.push_back({std::async(std::launch::async, std::move(compute)), count, reader_.bytes_read()});
    return true;
  }

  void write_oldest() {
    Chunk chunk = std::move(chunks_.front());
    chunks_.pop_front();
    std::optional<Result> result;
    try {
      result = chunk.result.get();
    } catch (...) {
      // The end: nothing may be written behind a gap. An interruption is no failure.
      if (!interrupted()) failure_ = std::current_exception();
      abandoned_ = true;
    }
    if (result) work_.write(*std::move(result));
    if (abandoned_) {
      chunks_.clear();
      return;
    }
    texts_done_ += chunk.texts;
    progress_.update(texts_done_, chunk.input_end);
  }

  // What is ready is written before waiting for a slow source, so that a person who types a line gets its answer.
  void stream() {
    while (!interrupted() && !failure_) {
      const bool busy = chunks_.size() >= chunks_at_once_ || (!chunks_.empty() && !reader_.ready());
      if (busy) {
        write_oldest();
      } else if (!start_next()) {
        return;
      }
    }
  }

  TextReader& reader_;
  const size_t chunks_at_once_;
  const Work work_;
  Progress progress_;
  int64_t texts_done_ = 0;
  std::exception_ptr failure_;
  std::atomic<bool> abandoned_ = false;
  std::deque<Chunk> chunks_;  // Being computed, the oldest first.
};

}  // namespace remuda::cli
