#pragma once

#include "remuda/settings.h"

namespace remuda::cli {

// The demo's second half: a few bundled texts summarised together. Where the model is not there, says so and how to get
// one.
void show_summaries(const Settings& settings);

}  // namespace remuda::cli
