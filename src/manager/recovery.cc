#include "manager/recovery.h"

#include <fmt/format.h>

#include "base/log.h"
#include "remuda/error.h"

namespace remuda {

void rethrow_to_holder(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const OutOfMemory& shortage) {
    throw OutOfMemory(fmt::format("{}; a call with an instance of its own can't go elsewhere: give it back and get "
                                  "another, or call without one",
                                  shortage.what()),
                      shortage.device());
  }
}

void log_recovery(const RecoveryReport& report) {
  if (report.calls == 0) return;
  std::string why;
  try {
    std::rethrow_exception(report.error);
  } catch (const std::exception& error) {
    why = error.what();
  }
  switch (report.recovery) {
    case Recovery::kFail:
      break;  // The callers hear of it.
    case Recovery::kWait:
      log::warning("pool {}: {} calls wait for memory: {}", report.pool, report.calls, why);
      break;
    case Recovery::kMove:
      log::warning("pool {}: the work of {} calls goes on elsewhere: {}", report.pool, report.calls, why);
      break;
  }
}

}  // namespace remuda
