// Python values as native ones, with errors that say which argument, what was expected and what was found.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "remuda/generation_options.h"
#include "remuda/model_manager.h"
#include "remuda/settings.h"

namespace remuda::python {

namespace nb = nanobind;

using Timeout = std::optional<std::chrono::nanoseconds>;

// None, or seconds as any real number or a datetime.timedelta, at least 0. Raises TypeError and ValueError.
Timeout to_timeout(nb::handle value, const char* name = "timeout");

// None, or a whole number. Raises TypeError and ValueError.
std::optional<int64_t> to_count(nb::handle value, const char* name);

// "interactive", "normal" or "bulk".
Priority to_priority(nb::handle value);

// How much of a list is copied; one string always is.
struct CopyLimits {
  size_t texts = SIZE_MAX;
  size_t bytes = SIZE_MAX;
};

// The strings of a list from `begin` on; `name` is what errors call it. Raises TypeError for what is no string,
// ValueError for one with a lone surrogate, which has no UTF-8.
std::vector<std::string> to_texts(nb::list texts, const char* name, size_t begin = 0, CopyLimits most = {});
// Raises what to_texts() would, and copies nothing.
void check_texts(nb::list texts, const char* name);

// A dict of transformers' options; None switches one off. Raises TypeError for a name that is none and for a wrong
// type.
GenerationOptions to_generation_options(const nb::dict& values);

// A dict by the names of the fields, each of the type that remuda.settings has checked.
Settings to_settings(const nb::dict& values);
nb::dict from_settings(const Settings& settings);

}  // namespace remuda::python
