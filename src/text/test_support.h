// For the tests of this module alone: golden files, the real model, messages of errors.
#pragma once

#include <gtest/gtest.h>
#include <time.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "remuda/error.h"
#include "text/tokenizer.h"

namespace remuda::text {

inline std::filesystem::path source_directory() { return REMUDA_SOURCE_DIR; }

inline std::filesystem::path golden_directory() { return source_directory() / "tests/golden/tokenizer"; }

inline JsonDocument read_golden(const std::string& name) { return JsonDocument::parse_file(golden_directory() / name); }

inline Tokenizer load_golden_tokenizer(const std::string& name) {
  return Tokenizer::from_json(read_golden(name + ".tokenizer.json"));
}

inline std::filesystem::path minilm_directory() {
  const char* variable = std::getenv("REMUDA_MODELS_DIR");
  const std::filesystem::path models = variable ? std::filesystem::path(variable) : source_directory() / "models";
  const std::filesystem::path model = models / "all-MiniLM-L6-v2";
  if (!std::filesystem::exists(model / "tokenizer.json")) {
    throw Error(ErrorCode::kNotFound,
                model.string() + ": the tests need this model; run scripts/fetch_model.sh, or set REMUDA_MODELS_DIR");
  }
  return model;
}

inline std::vector<int32_t> to_ids(const JsonValue& json) {
  std::vector<int32_t> ids;
  for (const JsonValue& id : json.items()) ids.push_back(static_cast<int32_t>(id.as_int()));
  return ids;
}

// What an action that must fail says, and with which code.
struct Failure {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

inline Failure failure_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << "expected an Error, found none";
  return {};
}

// Processor time of this thread: what other processes take of the machine isn't in it.
inline double processor_seconds(const std::function<void()>& action) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  action();
  return now() - start;
}

}  // namespace remuda::text
