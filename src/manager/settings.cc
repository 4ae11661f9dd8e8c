#include "remuda/settings.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/fail.h"
#include "base/files.h"
#include "device/memory_budget.h"

namespace remuda {
namespace {

// A value as text, and where it stands: "REMUDA_PRECISION" or "remuda.toml: precision".
struct Source {
  std::string where;
  std::string text;
};

[[noreturn]] void fail_expected(const Source& source, std::string_view expected) {
  fail(ErrorCode::kInvalidArgument, "{}: expected {}, found \"{}\"", source.where, expected, source.text);
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

bool parse_bool(const Source& source) {
  const std::string text = lower_case(source.text);
  for (const std::string_view name : {"true", "1", "yes", "on"}) {
    if (text == name) return true;
  }
  for (const std::string_view name : {"false", "0", "no", "off"}) {
    if (text == name) return false;
  }
  fail_expected(source, "true or false (also 1 and 0, yes and no, on and off)");
}

int64_t parse_count(const Source& source, int64_t least) {
  int64_t value = 0;
  const char* end = source.text.data() + source.text.size();
  const auto [rest, error] = std::from_chars(source.text.data(), end, value);
  if (error != std::errc() || rest != end || value < least) {
    fail_expected(source, fmt::format("a whole number, at least {}", least));
  }
  return value;
}

std::chrono::milliseconds parse_seconds(const Source& source) {
  constexpr double kMost = 1e9;  // 31 years: what is longer is a mistake.
  double value = 0;
  const char* end = source.text.data() + source.text.size();
  const auto [rest, error] = std::from_chars(source.text.data(), end, value);
  const std::chrono::milliseconds duration(
      error == std::errc() && value > 0 && value <= kMost ? std::llround(value * 1000) : 0);
  if (rest != end || duration.count() <= 0) {
    fail_expected(source, "seconds, more than 0, for example 90 or 0.5");
  }
  return duration;
}

// A field by its name in remuda.toml, its environment variable, and how it is set.
struct Field {
  std::string_view name;
  const char* variable;
  void (*set)(Settings& settings, const Source& source);
};

constexpr Field kFields[] = {
    {"model_pool_enabled", "MODEL_POOL_ENABLED",
     [](Settings& s, const Source& source) { s.model_pool_enabled = parse_bool(source); }},
    {"model_pool_max_instances", "MODEL_POOL_MAX_INSTANCES",
     [](Settings& s, const Source& source) { s.model_pool_max_instances = parse_count(source, 1); }},
    {"masx_force_gpu", "MASX_FORCE_GPU",
     [](Settings& s, const Source& source) { s.masx_force_gpu = parse_bool(source); }},
    {"masx_force_cpu", "MASX_FORCE_CPU",
     [](Settings& s, const Source& source) { s.masx_force_cpu = parse_bool(source); }},
    {"gpu_use_fp16", "GPU_USE_FP16", [](Settings& s, const Source& source) { s.gpu_use_fp16 = parse_bool(source); }},
    {"device", "REMUDA_DEVICE",
     [](Settings& s, const Source& source) { s.device = parse_device(source.text, source.where); }},
    {"embedding_model", "REMUDA_EMBEDDING_MODEL",
     [](Settings& s, const Source& source) { s.embedding_model = source.text; }},
    {"summarization_model", "REMUDA_SUMMARIZATION_MODEL",
     [](Settings& s, const Source& source) { s.summarization_model = source.text; }},
    {"precision", "REMUDA_PRECISION",
     [](Settings& s, const Source& source) { s.precision = parse_precision(source.text, source.where); }},
    {"memory_limit", "REMUDA_MEMORY_LIMIT",
     [](Settings& s, const Source& source) { s.memory_limit = MemoryLimit::parse(source.text, source.where); }},
    {"task_params", "REMUDA_TASK_PARAMS",
     [](Settings& s, const Source& source) { s.task_params = parse_bool(source); }},
    {"pinned", "REMUDA_PINNED", [](Settings& s, const Source& source) { s.pinned = parse_bool(source); }},
    {"compute_threads", "REMUDA_COMPUTE_THREADS",
     [](Settings& s, const Source& source) { s.compute_threads = parse_count(source, 0); }},
    {"idle_ttl", "REMUDA_IDLE_TTL", [](Settings& s, const Source& source) { s.idle_ttl = parse_seconds(source); }},
    {"max_lifetime", "REMUDA_MAX_LIFETIME",
     [](Settings& s, const Source& source) { s.max_lifetime = parse_seconds(source); }},
    {"min_idle", "REMUDA_MIN_IDLE", [](Settings& s, const Source& source) { s.min_idle = parse_count(source, 0); }},
    {"max_waiting", "REMUDA_MAX_WAITING",
     [](Settings& s, const Source& source) { s.max_waiting = parse_count(source, 0); }},
    {"leak_threshold", "REMUDA_LEAK_THRESHOLD",
     [](Settings& s, const Source& source) { s.leak_threshold = parse_seconds(source); }},
    {"fallback", "REMUDA_FALLBACK",
     [](Settings& s, const Source& source) { s.fallback = parse_fallback(source.text, source.where); }},
    {"cache_dir", "REMUDA_CACHE_DIR", [](Settings& s, const Source& source) { s.cache_dir = source.text; }},
};

// Sets fields, and remembers which of the force flags were set: those outweigh the other's default.
class Reader {
 public:
  void set(const Field& field, const Source& source) {
    field.set(settings_, source);
    if (field.name == "masx_force_gpu") force_gpu_set_ = true;
    if (field.name == "masx_force_cpu") force_cpu_set_ = true;
  }

  Settings finish() {
    if (settings_.masx_force_gpu && !force_cpu_set_) settings_.masx_force_cpu = false;
    settings_.validate();
    return std::move(settings_);
  }

 private:
  Settings settings_;
  bool force_gpu_set_ = false;
  bool force_cpu_set_ = false;
};

// A scalar as the text that an environment variable would have.
std::string scalar_text(const toml::node& node, const std::string& where) {
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_integer()) return fmt::format("{}", value->get());
  if (const auto* value = node.as_floating_point()) return fmt::format("{}", value->get());
  if (const auto* value = node.as_boolean()) return value->get() ? "true" : "false";
  fail(ErrorCode::kInvalidArgument, "{}: expected a string, a number, true or false", where);
}

void read_toml(const std::filesystem::path& path, Reader& reader) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    fail(ErrorCode::kInvalidArgument, "{}: expected a TOML file, found a directory; name the file in it",
         path.string());
  }
  toml::table table;
  try {
    constexpr uint64_t kMostBytes = 1 << 20;
    table = toml::parse(read_file(path, kMostBytes), path.string());
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    fail(ErrorCode::kInvalidFile, "{}:{}:{}: expected TOML: {}", path.string(), at.line, at.column,
         error.description());
  }
  for (const auto& [key, node] : table) {
    const std::string where = fmt::format("{}: {}", path.string(), key.str());
    const auto* field = std::ranges::find(kFields, key.str(), &Field::name);
    if (field == std::end(kFields)) {
      std::vector<std::string_view> known;
      std::ranges::transform(kFields, std::back_inserter(known), &Field::name);
      fail(ErrorCode::kInvalidArgument, "{}: not a setting; the settings are {}", where, fmt::join(known, ", "));
    }
    reader.set(*field, {where, scalar_text(node, where)});
  }
}

// An empty variable counts as unset, as shells and container files leave them.
void read_environment(Reader& reader) {
  for (const Field& field : kFields) {
    const char* value = std::getenv(field.variable);
    if (value != nullptr && *value != '\0') reader.set(field, {field.variable, value});
  }
}

struct Unit {
  std::string_view name;  // In lower case.
  double bytes;
};

// A final "b" is left out of the names, as Kubernetes leaves it out.
constexpr std::array<Unit, 11> kUnits = {{{"", 1},
                                          {"ki", 0x1p10},
                                          {"mi", 0x1p20},
                                          {"gi", 0x1p30},
                                          {"ti", 0x1p40},
                                          {"pi", 0x1p50},
                                          {"k", 1e3},
                                          {"m", 1e6},
                                          {"g", 1e9},
                                          {"t", 1e12},
                                          {"p", 1e15}}};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

}  // namespace

MemoryLimit MemoryLimit::parse(const std::string& text, const std::string& what) {
  constexpr std::string_view kExpected = "bytes (2147483648, 2GiB, 512Mi, 2G) or a share of the memory (80%)";
  constexpr double kMost = 0x1p60;
  const Source source{what, text};
  const std::string_view given = trimmed(text);
  double value = 0;
  const char* end = given.data() + given.size();
  const auto [rest, error] = std::from_chars(given.data(), end, value);
  if (error != std::errc() || !(value > 0)) fail_expected(source, kExpected);
  std::string unit = lower_case(trimmed({rest, end}));

  MemoryLimit limit;
  if (unit == "%") {
    if (value > 100) fail_expected(source, "a share of at most 100%");
    limit.share = value / 100;
    return limit;
  }
  if (unit.ends_with('b')) unit.pop_back();
  const auto* found = std::ranges::find(kUnits, unit, &Unit::name);
  if (found == kUnits.end() || value * found->bytes < 1 || value * found->bytes > kMost) {
    fail_expected(source, kExpected);
  }
  limit.bytes = static_cast<uint64_t>(value * found->bytes);
  return limit;
}

uint64_t resolve(const MemoryLimit& limit) {
  if (limit.bytes) return *limit.bytes;
  return static_cast<uint64_t>(limit.share.value_or(1) * static_cast<double>(MemoryBudget::cpu().attainable()));
}

void Settings::validate() const {
  const auto check = [](bool holds, std::string_view field, std::string_view expected, auto found) {
    if (!holds) fail(ErrorCode::kInvalidArgument, "{}: expected {}, found {}", field, expected, found);
  };
  constexpr int64_t kMostThreads = 4096;
  check(model_pool_max_instances >= 1, "model_pool_max_instances", "at least 1", model_pool_max_instances);
  check(compute_threads >= 0 && compute_threads <= kMostThreads, "compute_threads",
        fmt::format("0 to {}", kMostThreads), compute_threads);
  check(!idle_ttl || idle_ttl->count() > 0, "idle_ttl", "more than 0 ms", idle_ttl ? idle_ttl->count() : 0);
  check(!max_lifetime || max_lifetime->count() > 0, "max_lifetime", "more than 0 ms",
        max_lifetime ? max_lifetime->count() : 0);
  check(min_idle >= 0 && min_idle <= model_pool_max_instances, "min_idle",
        fmt::format("0 to model_pool_max_instances, which is {}", model_pool_max_instances), min_idle);
  check(!max_waiting || *max_waiting >= 0, "max_waiting", "at least 0", max_waiting.value_or(0));
  check(leak_threshold.count() > 0, "leak_threshold", "more than 0 ms", leak_threshold.count());
  if (memory_limit) {
    const bool one = memory_limit->bytes.has_value() != memory_limit->share.has_value();
    check(one, "memory_limit", "either bytes or a share", memory_limit->bytes ? "both" : "neither");
    const double share = memory_limit->share.value_or(1);
    check(share > 0 && share <= 1, "memory_limit", "a share above 0 and at most 1", share);
  }
  if (masx_force_gpu && masx_force_cpu) {
    fail(ErrorCode::kInvalidArgument,
         "masx_force_gpu and masx_force_cpu are both true; set one of them, or neither for an automatic choice");
  }
  if (!device.empty()) parse_device(device, "device");
}

Settings get_settings(const std::filesystem::path& toml) {
  Reader reader;
  if (file_exists(toml)) read_toml(toml, reader);
  read_environment(reader);
  return reader.finish();
}

std::string parse_device(const std::string& text, const std::string& what) {
  constexpr std::string_view kNumbered = "cuda:";
  const bool numbered = text.starts_with(kNumbered) && text.size() > kNumbered.size() &&
                        text.find_first_not_of("0123456789", kNumbered.size()) == std::string::npos;
  if (numbered || text == "auto" || text == "cpu" || text == "cuda") return text;
  fail_expected({what, text}, "auto, cpu, cuda or cuda:N");
}

Fallback parse_fallback(const std::string& text, const std::string& what) {
  for (const Fallback fallback : {Fallback::kRequire, Fallback::kPrefer, Fallback::kSpill}) {
    if (text == to_string(fallback)) return fallback;
  }
  fail_expected({what, text}, "require, prefer or spill");
}

std::string to_string(Fallback fallback) {
  switch (fallback) {
    case Fallback::kRequire:
      return "require";
    case Fallback::kPrefer:
      return "prefer";
    case Fallback::kSpill:
      return "spill";
  }
  return "unknown";
}

}  // namespace remuda
