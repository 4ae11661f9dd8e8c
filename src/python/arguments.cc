#include "python/arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "python/errors.h"

namespace remuda::python {
namespace {

std::string name_of_type(nb::handle value) { return nb::cast<std::string>(nb::str(value.type().attr("__name__"))); }

// The beginning of a value's repr, whatever that is: it may hold halves of characters, or raise.
std::string show(nb::handle value) {
  constexpr Py_ssize_t kMost = 80;
  const nb::object text = nb::steal(PyObject_Repr(value.ptr()));
  const nb::object start = nb::steal(text.is_valid() ? PyUnicode_Substring(text.ptr(), 0, kMost) : nullptr);
  const nb::object bytes =
      nb::steal(start.is_valid() ? PyUnicode_AsEncodedString(start.ptr(), "utf-8", "backslashreplace") : nullptr);
  if (!bytes.is_valid()) {
    if (PyErr_ExceptionMatches(PyExc_Exception) == 0) throw nb::python_error();
    PyErr_Clear();
    return "something that can't be printed";
  }
  return std::string(PyBytes_AsString(bytes.ptr())) + (PyUnicode_GetLength(text.ptr()) > kMost ? "..." : "");
}

[[noreturn]] void raise_type(std::string_view name, std::string_view expected, nb::handle found) {
  raise(PyExc_TypeError,
        fmt::format("{}: expected {}, found {} ({})", name, expected, show(found), name_of_type(found)));
}

[[noreturn]] void raise_value(std::string_view name, std::string_view expected, nb::handle found) {
  raise(PyExc_ValueError, fmt::format("{}: expected {}, found {}", name, expected, show(found)));
}

bool is_bool(nb::handle value) { return PyBool_Check(value.ptr()) != 0; }

// numpy's numbers are no subclasses of int, but have __index__.
bool is_integer(nb::handle value) { return !is_bool(value) && PyIndex_Check(value.ptr()) != 0; }

bool is_number(nb::handle value) { return is_integer(value) || PyFloat_Check(value.ptr()) != 0; }

int64_t to_integer(std::string_view name, nb::handle value) {
  if (!is_integer(value)) raise_type(name, "a whole number", value);
  const nb::object index = nb::steal(PyNumber_Index(value.ptr()));
  if (!index.is_valid()) throw nb::python_error();
  const long long number = PyLong_AsLongLong(index.ptr());
  if (number == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    raise_value(name, "a whole number of 64 bits", value);
  }
  return number;
}

int32_t to_token_id(std::string_view name, nb::handle value) {
  const int64_t id = to_integer(name, value);
  if (id < 0 || id > INT32_MAX) raise_value(name, "a token id", value);
  return static_cast<int32_t>(id);
}

double to_double(std::string_view name, nb::handle value) {
  if (!is_number(value)) raise_type(name, "a number", value);
  const double number = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_OverflowError) == 0) throw nb::python_error();
    PyErr_Clear();
    raise_value(name, "a number of 64 bits", value);
  }
  return number;
}

bool is_sequence(nb::handle value) { return nb::isinstance<nb::list>(value) || nb::isinstance<nb::tuple>(value); }

void read(std::string_view name, nb::handle value, int64_t& out) { out = to_integer(name, value); }
void read(std::string_view name, nb::handle value, int32_t& out) { out = to_token_id(name, value); }
void read(std::string_view name, nb::handle value, double& out) { out = to_double(name, value); }

void read(std::string_view name, nb::handle value, bool& out) {
  if (!is_bool(value)) raise_type(name, "True or False", value);
  out = nb::cast<bool>(value);
}

void read(std::string_view name, nb::handle value, EarlyStopping& out) {
  if (is_bool(value)) {
    out = nb::cast<bool>(value) ? EarlyStopping::kTrue : EarlyStopping::kFalse;
  } else if (nb::isinstance<nb::str>(value) && nb::cast<std::string>(value) == "never") {
    out = EarlyStopping::kNever;
  } else {
    raise_type(name, "True, False or \"never\"", value);
  }
}

// One id stands for a list of one, as in transformers.
void read(std::string_view name, nb::handle value, TokenIds& out) {
  if (!is_sequence(value)) {
    out.push_back(to_token_id(name, value));
    return;
  }
  for (const nb::handle id : nb::borrow<nb::sequence>(value)) out.push_back(to_token_id(name, id));
}

void read(std::string_view name, nb::handle value, std::vector<TokenIds>& out) {
  if (!is_sequence(value)) raise_type(name, "a list of lists of token ids", value);
  for (const nb::handle word : nb::borrow<nb::sequence>(value)) {
    if (!is_sequence(word)) raise_type(name, "a list of lists of token ids", value);
    read(name, word, out.emplace_back());
  }
}

// What an error about a text that is none expects, and what to do about it.
const char* expected_text(nb::handle found) {
  if (PyBytes_Check(found.ptr()) || PyByteArray_Check(found.ptr())) {
    return "a str; decode the bytes first, with .decode()";
  }
  if (is_sequence(found)) return "a str; give one flat list, and join the parts of a text";
  if (nb::isinstance<nb::dict>(found)) return "a str; pick the text out of each dict";
  return "a str";
}

// Calls use(text) with the UTF-8 of each, until it says false.
template <typename Use>
void for_each_text(const nb::list& texts, const char* name, size_t begin, Use&& use) {
  const size_t count = texts.size();
  // The list's length is asked for again each time: another thread may change it.
  for (size_t i = begin; i < texts.size(); ++i) {
    const nb::object item = nb::borrow(texts[i]);
    const auto which = [&] { return count == 1 ? std::string(name) : fmt::format("{}[{}]", name, i); };
    if (!PyUnicode_Check(item.ptr())) raise_type(which(), expected_text(item), item);
    // Not PyUnicode_AsUTF8AndSize: that leaves a copy in the caller's string for as long as it lives.
    const nb::object bytes = nb::steal(PyUnicode_AsUTF8String(item.ptr()));
    if (!bytes.is_valid()) {
      if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) == 0) throw nb::python_error();
      PyErr_Clear();
      raise(PyExc_ValueError,
            fmt::format("{}: has a lone surrogate, half a character; replace it, with text.encode(\"utf-16\", "
                        "\"surrogatepass\").decode(\"utf-16\", \"replace\")",
                        which()));
    }
    const std::string_view text(PyBytes_AsString(bytes.ptr()), static_cast<size_t>(PyBytes_Size(bytes.ptr())));
    if (!use(text)) return;
  }
}

}  // namespace

Timeout to_timeout(nb::handle value, const char* name) {
  if (value.is_none()) return std::nullopt;
  constexpr const char* kExpected = "seconds, at least 0, or None to wait for as long as it takes";
  double number = 0;
  if (PyFloat_Check(value.ptr()) != 0) {
    number = PyFloat_AsDouble(value.ptr());
  } else {  // Numbers have no type in common: the package's own function knows them.
    const nb::object read = nb::module_::import_("remuda._arguments").attr("seconds");
    number = nb::cast<double>(read(name, value, kExpected));
  }
  if (!(number >= 0)) raise_value(name, kExpected, value);  // NaN, too.
  constexpr double kForever = 1e9;                          // 31 years.
  if (number > kForever) return std::nullopt;
  return std::chrono::nanoseconds(std::llround(number * 1e9));
}

std::optional<int64_t> to_count(nb::handle value, const char* name) {
  if (value.is_none()) return std::nullopt;
  return to_integer(name, value);
}

Priority to_priority(nb::handle value) {
  constexpr std::string_view kExpected = "\"interactive\", \"normal\" or \"bulk\"";
  if (!nb::isinstance<nb::str>(value)) raise_type("priority", kExpected, value);
  const auto name = nb::cast<std::string>(value);
  if (name == "interactive") return Priority::kInteractive;
  if (name == "normal") return Priority::kNormal;
  if (name == "bulk") return Priority::kBulk;
  raise_value("priority", kExpected, value);
}

std::vector<std::string> to_texts(nb::list texts, const char* name, size_t begin, CopyLimits most) {
  std::vector<std::string> result;
  result.reserve(std::min(most.texts, texts.size() - std::min(begin, texts.size())));
  size_t bytes = 0;
  for_each_text(texts, name, begin, [&](std::string_view text) {
    bytes += text.size();
    if (!result.empty() && bytes > most.bytes) return false;
    result.emplace_back(text);
    return result.size() < most.texts;
  });
  return result;
}

void check_texts(nb::list texts, const char* name) {
  for_each_text(texts, name, 0, [](std::string_view) { return true; });
}

GenerationOptions to_generation_options(const nb::dict& values) {
  GenerationOptions options;
  std::vector<std::string_view> names;
  GenerationOptions::for_each(
      [&](const char* name, auto& field) {
        names.emplace_back(name);
        if (!values.contains(name)) return;
        const nb::object value = values[name];
        if (value.is_none()) {
          options.none.emplace_back(name);
        } else {
          read(name, value, field.emplace());
        }
      },
      options);
  for (const auto& [key, value] : values) {
    const auto name = nb::cast<std::string>(nb::str(key));
    if (std::ranges::find(names, name) != names.end()) continue;
    raise(PyExc_TypeError,
          fmt::format("{}: not an option of a summary; the options are {}", name, fmt::join(names, ", ")));
  }
  return options;
}

Settings to_settings(const nb::dict& values) {
  Settings settings;
  const auto text = [&values](const char* name) {
    std::string found;
    if (!nb::try_cast(nb::object(values[name]), found) || found.find('\0') != std::string::npos) {
      raise_value(name, "text that UTF-8 can hold, without NUL", values[name]);
    }
    return found;
  };
  settings.model_pool_enabled = nb::cast<bool>(values["model_pool_enabled"]);
  settings.model_pool_max_instances = nb::cast<int64_t>(values["model_pool_max_instances"]);
  settings.masx_force_gpu = nb::cast<bool>(values["masx_force_gpu"]);
  settings.masx_force_cpu = nb::cast<bool>(values["masx_force_cpu"]);
  settings.gpu_use_fp16 = nb::cast<bool>(values["gpu_use_fp16"]);
  if (!nb::object(values["device"]).is_none()) settings.device = parse_device(text("device"), "device");
  settings.embedding_model = text("embedding_model");
  settings.summarization_model = text("summarization_model");
  settings.precision = parse_precision(text("precision"), "precision");
  const nb::object limit = values["memory_limit"];
  if (!limit.is_none()) settings.memory_limit = MemoryLimit::parse(text("memory_limit"), "memory_limit");
  settings.compute_threads = nb::cast<int64_t>(values["compute_threads"]);
  const auto milliseconds = [&values](const char* name) {
    return std::chrono::milliseconds(std::llround(1e3 * nb::cast<double>(values[name])));
  };
  if (!nb::object(values["idle_ttl"]).is_none()) settings.idle_ttl = milliseconds("idle_ttl");
  if (!nb::object(values["max_lifetime"]).is_none()) settings.max_lifetime = milliseconds("max_lifetime");
  settings.min_idle = nb::cast<int64_t>(values["min_idle"]);
  if (const nb::object most = values["max_waiting"]; !most.is_none()) settings.max_waiting = nb::cast<int64_t>(most);
  settings.leak_threshold = milliseconds("leak_threshold");
  settings.fallback = parse_fallback(text("fallback"), "fallback");
  settings.cache_dir = text("cache_dir");
  settings.pinned = nb::cast<bool>(values["pinned"]);
  settings.task_params = nb::cast<bool>(values["task_params"]);
  settings.validate();
  return settings;
}

nb::dict from_settings(const Settings& settings) {
  nb::dict values;
  values["model_pool_enabled"] = settings.model_pool_enabled;
  values["model_pool_max_instances"] = settings.model_pool_max_instances;
  values["masx_force_gpu"] = settings.masx_force_gpu;
  values["masx_force_cpu"] = settings.masx_force_cpu;
  values["gpu_use_fp16"] = settings.gpu_use_fp16;
  values["device"] = nb::none();
  if (!settings.device.empty()) values["device"] = settings.device;
  values["embedding_model"] = settings.embedding_model;
  values["summarization_model"] = settings.summarization_model;
  values["precision"] = std::string(to_string(settings.precision));
  values["memory_limit"] = nb::none();
  if (settings.memory_limit) {
    const MemoryLimit& limit = *settings.memory_limit;
    values["memory_limit"] = limit.bytes ? nb::cast(fmt::format("{}", *limit.bytes))
                                         : nb::cast(fmt::format("{}%", 100 * limit.share.value_or(1)));
  }
  values["compute_threads"] = settings.compute_threads;
  const auto seconds = [](std::chrono::milliseconds time) { return std::chrono::duration<double>(time).count(); };
  values["idle_ttl"] = nb::none();
  if (settings.idle_ttl) values["idle_ttl"] = seconds(*settings.idle_ttl);
  values["max_lifetime"] = nb::none();
  if (settings.max_lifetime) values["max_lifetime"] = seconds(*settings.max_lifetime);
  values["min_idle"] = settings.min_idle;
  values["max_waiting"] = nb::none();
  if (settings.max_waiting) values["max_waiting"] = *settings.max_waiting;
  values["leak_threshold"] = seconds(settings.leak_threshold);
  values["fallback"] = to_string(settings.fallback);
  values["cache_dir"] = settings.cache_dir.string();
  values["pinned"] = settings.pinned;
  values["task_params"] = settings.task_params;
  return values;
}

}  // namespace remuda::python
