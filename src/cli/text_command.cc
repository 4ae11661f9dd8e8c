#include "cli/text_command.h"

#include <fmt/core.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/seconds_since.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/interrupt.h"

namespace remuda::cli {
namespace {

nlohmann::ordered_json pool_json(const PoolStats& pool) {
  nlohmann::ordered_json gpu_memory = nlohmann::ordered_json::object();
  for (const auto& [device, memory] : pool.gpu_memory) {
    gpu_memory[device] = {{"allocated", memory.allocated}, {"reserved", memory.reserved}};
  }
  return {{"available", pool.available},
          {"in_use", pool.in_use},
          {"total", pool.total},
          {"max_instances", pool.max_instances},
          {"created", pool.created},
          {"destroyed", pool.destroyed},
          {"expired", pool.expired},
          {"evicted", pool.evicted},
          {"lost", pool.lost},
          {"timeouts", pool.timeouts},
          {"cancelled", pool.cancelled},
          {"overloaded", pool.overloaded},
          {"out_of_memory", pool.out_of_memory},
          {"fallbacks", pool.fallbacks},
          {"moved", pool.moved},
          {"room_waits", pool.room_waits},
          {"by_device", pool.by_device},
          {"gpu_memory", gpu_memory},
          {"leaks", pool.leaks}};
}

}  // namespace

double milliseconds_since(std::chrono::steady_clock::time_point start) { return 1e3 * seconds_since(start); }

void invite_typing(const TextReaderOptions& input, const char* what) {
  if (!input.files.empty() || !is_terminal(STDIN_FILENO)) return;
  say(fmt::format("Type {}; Ctrl-D ends.\n", what));
}

void warn_of_invalid_utf8(int64_t sequences) {
  if (sequences == 0) return;
  warn(fmt::format("{} malformed UTF-8 sequences were read as U+FFFD; if the input is Latin-1: iconv -f latin1 -t utf8",
                   with_commas(sequences)));
}

void print_run_stats(nlohmann::ordered_json figures, const RunStats& stats) {
  figures["load_ms"] = stats.load_ms;
  figures["peak_rss_bytes"] = peak_rss_bytes();
  figures["precision"] = to_string(stats.precision);
  figures["device"] = stats.device;
  figures["pool"] = pool_json(stats.pool);
  say(figures.dump() + "\n");
}

int end_run(const std::exception_ptr& failure, int64_t done, const char* what) {
  if (failure) std::rethrow_exception(failure);
  if (!interrupted()) return kSuccess;
  say(fmt::format("remuda: interrupted; {} {} are done and kept\n", with_commas(done), what));
  return kInterrupted;
}

}  // namespace remuda::cli
