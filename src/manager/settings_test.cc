#include "remuda/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "base/scratch_directory.h"
#include "remuda/error.h"

namespace remuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

// Starts from an environment without any of the variables and ends with the one that was there.
class SettingsTest : public testing::Test {
 protected:
  static constexpr const char* kVariables[] = {
      "MODEL_POOL_ENABLED",  "MODEL_POOL_MAX_INSTANCES", "MASX_FORCE_GPU",   "MASX_FORCE_CPU",
      "GPU_USE_FP16",        "REMUDA_EMBEDDING_MODEL",   "REMUDA_PRECISION", "REMUDA_SUMMARIZATION_MODEL",
      "REMUDA_MEMORY_LIMIT", "REMUDA_COMPUTE_THREADS",   "REMUDA_IDLE_TTL",  "REMUDA_LEAK_THRESHOLD",
      "REMUDA_FALLBACK",     "REMUDA_CACHE_DIR",         "REMUDA_PINNED",    "REMUDA_MAX_LIFETIME",
      "REMUDA_MIN_IDLE",     "REMUDA_MAX_WAITING",       "REMUDA_DEVICE"};

  SettingsTest() {
    for (const char* name : kVariables) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      unsetenv(name);
    }
  }
  ~SettingsTest() override {
    for (const char* name : kVariables) unsetenv(name);
    for (const auto& [name, value] : before_) setenv(name.c_str(), value.c_str(), 1);
  }

  static void set(const char* name, const char* value) { setenv(name, value, 1); }
  void write_toml(const std::string& text) const { std::ofstream(toml_) << text; }
  Settings read() const { return get_settings(toml_); }

  void expect_error(ErrorCode code, const testing::Matcher<std::string>& message) const {
    try {
      read();
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_THAT(error.what(), message);
    }
  }

  const ScratchDirectory scratch_;
  const fs::path toml_ = scratch_.path() / "remuda.toml";

 private:
  std::map<std::string, std::string> before_;
};

TEST_F(SettingsTest, DefaultsWithoutFileAndEnvironment) {
  const Settings settings = read();
  EXPECT_TRUE(settings.model_pool_enabled);
  EXPECT_EQ(settings.model_pool_max_instances, 2);
  EXPECT_FALSE(settings.masx_force_gpu);
  EXPECT_TRUE(settings.masx_force_cpu);
  EXPECT_TRUE(settings.gpu_use_fp16);
  EXPECT_EQ(settings.device, "");
  EXPECT_EQ(settings.embedding_model, "sentence-transformers/all-MiniLM-L6-v2");
  EXPECT_EQ(settings.precision, Precision::kAuto);
  EXPECT_FALSE(settings.memory_limit);
  EXPECT_EQ(settings.compute_threads, 0);
  EXPECT_FALSE(settings.idle_ttl);
  EXPECT_FALSE(settings.max_lifetime);
  EXPECT_EQ(settings.min_idle, 0);
  EXPECT_FALSE(settings.max_waiting);
  EXPECT_EQ(settings.leak_threshold, 5min);
  EXPECT_EQ(settings.fallback, Fallback::kPrefer);
}

TEST_F(SettingsTest, EveryFieldFromTheEnvironment) {
  set("MODEL_POOL_ENABLED", "Off");
  set("MODEL_POOL_MAX_INSTANCES", "7");
  set("MASX_FORCE_CPU", "no");
  set("GPU_USE_FP16", "0");
  set("REMUDA_DEVICE", "cuda:12");
  set("REMUDA_EMBEDDING_MODEL", "org/embedder");
  set("REMUDA_SUMMARIZATION_MODEL", "org/summarizer");
  set("REMUDA_PRECISION", "int8");
  set("REMUDA_MEMORY_LIMIT", "2GiB");
  set("REMUDA_COMPUTE_THREADS", "3");
  set("REMUDA_IDLE_TTL", "90");
  set("REMUDA_LEAK_THRESHOLD", "0.25");
  set("REMUDA_FALLBACK", "spill");
  set("REMUDA_CACHE_DIR", "/var/cache/remuda");
  set("REMUDA_PINNED", "1");
  set("REMUDA_MAX_LIFETIME", "3600");
  set("REMUDA_MIN_IDLE", "4");
  set("REMUDA_MAX_WAITING", "0");
  const Settings settings = read();
  EXPECT_FALSE(settings.model_pool_enabled);
  EXPECT_EQ(settings.model_pool_max_instances, 7);
  EXPECT_FALSE(settings.masx_force_cpu);
  EXPECT_FALSE(settings.gpu_use_fp16);
  EXPECT_EQ(settings.device, "cuda:12");
  EXPECT_EQ(settings.embedding_model, "org/embedder");
  EXPECT_EQ(settings.summarization_model, "org/summarizer");
  EXPECT_EQ(settings.precision, Precision::kInt8);
  EXPECT_EQ(settings.memory_limit->bytes, uint64_t{2} << 30);
  EXPECT_EQ(settings.compute_threads, 3);
  EXPECT_EQ(settings.idle_ttl, 90s);
  EXPECT_EQ(settings.leak_threshold, 250ms);
  EXPECT_EQ(settings.fallback, Fallback::kSpill);
  EXPECT_EQ(settings.cache_dir, "/var/cache/remuda");
  EXPECT_TRUE(settings.pinned);
  EXPECT_EQ(settings.max_lifetime, 3600s);
  EXPECT_EQ(settings.min_idle, 4);
  EXPECT_EQ(settings.max_waiting, 0);
}

TEST_F(SettingsTest, TomlOverridesDefaultsAndTheEnvironmentOverridesToml) {
  write_toml("model_pool_enabled = false\nmodel_pool_max_instances = 5\nidle_ttl = 1.5\nprecision = \"bf16\"\n");
  set("MODEL_POOL_MAX_INSTANCES", "9");
  const Settings settings = read();
  EXPECT_FALSE(settings.model_pool_enabled);
  EXPECT_EQ(settings.model_pool_max_instances, 9);
  EXPECT_EQ(settings.idle_ttl, 1500ms);
  EXPECT_EQ(settings.precision, Precision::kBf16);
}

TEST_F(SettingsTest, AnEmptyVariableCountsAsUnset) {
  set("MODEL_POOL_MAX_INSTANCES", "");
  EXPECT_EQ(read().model_pool_max_instances, 2);
}

TEST_F(SettingsTest, ErrorsNameTheVariableWithExpectedAndFound) {
  const std::pair<const char*, const char*> cases[] = {
      {"MODEL_POOL_ENABLED", "maybe"},    {"MODEL_POOL_MAX_INSTANCES", "0"},
      {"MODEL_POOL_MAX_INSTANCES", "2x"}, {"MASX_FORCE_GPU", "2"},
      {"REMUDA_PRECISION", "fp64"},       {"REMUDA_MEMORY_LIMIT", "much"},
      {"REMUDA_COMPUTE_THREADS", "-1"},   {"REMUDA_IDLE_TTL", "1h"},
      {"REMUDA_IDLE_TTL", "0"},           {"REMUDA_IDLE_TTL", "-1"},
      {"REMUDA_IDLE_TTL", "0.0001"},      {"REMUDA_MAX_LIFETIME", "0"},
      {"REMUDA_MIN_IDLE", "-1"},          {"REMUDA_MAX_WAITING", "few"},
      {"REMUDA_LEAK_THRESHOLD", "0"},     {"REMUDA_LEAK_THRESHOLD", "nan"},
      {"REMUDA_FALLBACK", "Prefer"},      {"REMUDA_COMPUTE_THREADS", "99999999999999999999"},
      {"REMUDA_DEVICE", "cuda:"},         {"REMUDA_DEVICE", "cuda:1x"}};
  for (const auto& [name, value] : cases) {
    set(name, value);
    expect_error(ErrorCode::kInvalidArgument,
                 AllOf(HasSubstr(std::string(name) + ": expected "), HasSubstr("\"" + std::string(value) + "\"")));
    unsetenv(name);
  }
}

TEST_F(SettingsTest, ADirectoryIsNoToml) {
  fs::create_directory(toml_);
  expect_error(ErrorCode::kInvalidArgument, HasSubstr(toml_.string() + ": expected a TOML file, found a directory"));
}

TEST_F(SettingsTest, TomlErrorsNameFileAndKey) {
  write_toml("compute_threads = \"many\"\n");
  expect_error(ErrorCode::kInvalidArgument, HasSubstr(toml_.string() + ": compute_threads: expected a whole number"));
  write_toml("compute_threads = [1]\n");
  expect_error(ErrorCode::kInvalidArgument, HasSubstr("compute_threads: expected a string, a number"));
  write_toml("precision = \"fp32\"\ncompute_treads = 2\n");
  expect_error(ErrorCode::kInvalidArgument,
               AllOf(HasSubstr(": compute_treads: not a setting"), HasSubstr("compute_threads")));
  write_toml("precision = \n");
  expect_error(ErrorCode::kInvalidFile, HasSubstr(toml_.string() + ":1:"));
}

TEST_F(SettingsTest, AForceFlagThatWasSetOutweighsTheOthersDefault) {
  set("MASX_FORCE_GPU", "true");
  EXPECT_TRUE(read().masx_force_gpu);
  EXPECT_FALSE(read().masx_force_cpu);

  set("MASX_FORCE_CPU", "false");
  EXPECT_TRUE(read().masx_force_gpu);

  set("MASX_FORCE_GPU", "false");  // Both false: the choice is automatic.
  EXPECT_FALSE(read().masx_force_gpu);
  EXPECT_FALSE(read().masx_force_cpu);
}

TEST_F(SettingsTest, BothForceFlagsSetIsAnErrorWhereverTheyCameFrom) {
  write_toml("masx_force_cpu = true\n");
  set("MASX_FORCE_GPU", "1");
  expect_error(ErrorCode::kInvalidArgument, AllOf(HasSubstr("masx_force_gpu"), HasSubstr("masx_force_cpu")));
}

TEST_F(SettingsTest, ValidateNamesTheField) {
  Settings settings;
  settings.model_pool_max_instances = 0;
  EXPECT_THAT([&] { settings.validate(); }, testing::ThrowsMessage<Error>(HasSubstr("model_pool_max_instances")));
  settings = {};
  settings.memory_limit = MemoryLimit{};
  EXPECT_THAT([&] { settings.validate(); }, testing::ThrowsMessage<Error>(HasSubstr("memory_limit")));
  settings.memory_limit->share = 1.5;
  EXPECT_THAT([&] { settings.validate(); }, testing::ThrowsMessage<Error>(HasSubstr("1.5")));
  settings = {};
  settings.idle_ttl = 0ms;
  EXPECT_THAT([&] { settings.validate(); }, testing::ThrowsMessage<Error>(HasSubstr("idle_ttl")));
  settings = {};
  settings.max_lifetime = 0ms;
  EXPECT_THAT([&] { settings.validate(); }, testing::ThrowsMessage<Error>(HasSubstr("max_lifetime")));
  settings = {};
  settings.min_idle = 3;
  EXPECT_THAT([&] { settings.validate(); }, testing::ThrowsMessage<Error>(HasSubstr("model_pool_max_instances")));
  settings = {};
  settings.max_waiting = -1;
  EXPECT_THAT([&] { settings.validate(); }, testing::ThrowsMessage<Error>(HasSubstr("max_waiting")));
  settings = {};
  settings.leak_threshold = -1ms;
  EXPECT_THAT([&] { settings.validate(); }, testing::ThrowsMessage<Error>(HasSubstr("leak_threshold")));
}

TEST(MemoryLimit, ReadsUnitsAndShares) {
  const auto bytes = [](const char* text) { return MemoryLimit::parse(text, "x").bytes; };
  EXPECT_EQ(bytes("2147483648"), uint64_t{1} << 31);
  EXPECT_EQ(bytes("2GiB"), uint64_t{1} << 31);
  EXPECT_EQ(bytes("1.5 gb"), 1'500'000'000u);
  EXPECT_EQ(bytes("512MiB"), 512u << 20);
  EXPECT_EQ(bytes("10B"), 10u);
  EXPECT_EQ(bytes("512Mi"), 512u << 20);
  EXPECT_EQ(bytes("1.5 Gi"), 3u << 29);
  EXPECT_EQ(bytes("2G"), 2'000'000'000u);
  EXPECT_EQ(bytes("64k"), 64'000u);
  EXPECT_EQ(bytes("1PiB"), uint64_t{1} << 50);
  EXPECT_EQ(bytes(" 3 kB "), 3000u);
  EXPECT_EQ(bytes("1e9"), 1'000'000'000u);
  EXPECT_DOUBLE_EQ(*MemoryLimit::parse(" 12.5 % ", "x").share, 0.125);
  EXPECT_DOUBLE_EQ(*MemoryLimit::parse("80%", "x").share, 0.8);
  for (const char* text : {"", "abc", "GiB", "-1", "-1GiB", "0", "0%", "101%", "1e30TiB", "12 parsecs", "5GiBs", "5bb",
                           "5i", "inf", "nan%"}) {
    EXPECT_THAT([&] { MemoryLimit::parse(text, "REMUDA_MEMORY_LIMIT"); },
                testing::ThrowsMessage<Error>(HasSubstr("REMUDA_MEMORY_LIMIT: expected ")))
        << text;
  }
}

RC_GTEST_PROP(MemoryLimit, AnyTextGivesALimitOrAnError, (const std::string& text)) {
  try {
    const MemoryLimit limit = MemoryLimit::parse(text, "x");
    RC_ASSERT(limit.bytes.has_value() != limit.share.has_value());
  } catch (const Error& error) {
    RC_ASSERT(error.code() == ErrorCode::kInvalidArgument);
  }
}

TEST(MemoryLimit, AShareIsOfWhatIsThere) {
  const uint64_t half = resolve(MemoryLimit::parse("50%", "x"));
  EXPECT_GT(half, uint64_t{1} << 20);
  EXPECT_EQ(resolve(MemoryLimit::parse("123", "x")), 123u);
}

}  // namespace
}  // namespace remuda
