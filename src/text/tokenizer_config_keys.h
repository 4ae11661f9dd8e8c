// The fields of tokenizer_config.json that are known, so that one that isn't is said to be.
#pragma once

#include "base/json.h"

namespace remuda::text {

// Says, once for each file in a process, which fields of the object nobody here knows (a warning), and which are known
// to change no id and no text (at level info).
void report_unknown_keys(const JsonValue& tokenizer_config);

}  // namespace remuda::text
