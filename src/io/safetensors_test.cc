#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "base/scratch_directory.h"
#include "io/checkpoint.h"
#include "remuda/error.h"

namespace remuda::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string with_length(uint64_t length, const std::string& rest) {
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + rest;
}

std::string file_of(const std::string& header, const std::string& data) {
  return with_length(header.size(), header + data);
}

std::string floats(const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::optional<Error> error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

void expect_error(const std::function<void()>& action, ErrorCode code, const std::vector<std::string>& parts) {
  const auto error = error_of(action);
  ASSERT_TRUE(error) << "expected an error with \"" << parts.front() << '"';
  EXPECT_EQ(error->code(), code) << error->what();
  for (const std::string& part : parts) EXPECT_THAT(error->what(), HasSubstr(part));
}

constexpr const char* kOne = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

TEST(Safetensors, ReadsHalfAndSingleAndListsIntegers) {
  const ScratchDirectory scratch;
  // 1.5 as F16 and BF16. The header's odd length leaves the F32 data unaligned.
  const std::string header = R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},)"
                             R"("b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]},)"
                             R"("c":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]},)"
                             R"("ids":{"dtype":"I64","shape":[1],"data_offsets":[12,20]}})";
  const std::string data = std::string("\x00\x3e\xc0\x3f", 4) + floats({0.25f, -7.0f}) + std::string(8, '\0');
  for (const std::string& padded : {header, header + " "}) {
    const auto checkpoint = Checkpoint::open_file(scratch.write("model.safetensors", file_of(padded, data)));
    EXPECT_EQ(checkpoint.get("a", {1}).at(0), 1.5f);
    EXPECT_EQ(checkpoint.get("b", {1}).at(0), 1.5f);
    EXPECT_EQ(checkpoint.get("c", {2, 1}).at(1), -7.0f);
    EXPECT_EQ(checkpoint.find("ids")->dtype, DType::kI64);
    EXPECT_EQ(checkpoint.find("none"), nullptr);
    EXPECT_EQ(checkpoint.parameter_count(), 5);
    EXPECT_EQ(checkpoint.bytes(), 20u);
    expect_error([&] { checkpoint.get("ids", {1}); }, ErrorCode::kUnsupported,
                 {"model.safetensors", "\"ids\"", "F32, F16, BF16 or F64", "I64"});
    expect_error([&] { checkpoint.get("c", {2}); }, ErrorCode::kInvalidFile,
                 {"model.safetensors", "\"c\"", "expected the shape [2]", "found [2, 1]"});
    expect_error([&] { checkpoint.get("d", {2}); }, ErrorCode::kInvalidFile, {"model.safetensors", "\"d\"", "[2]"});
  }
}

struct BadFile {
  const char* name;
  std::string content;
  std::vector<std::string> parts;
};

TEST(Safetensors, RefusesDamagedFiles) {
  const std::string eight(8, '\0');
  const auto header = [&](const std::string& fields) { return file_of(R"({"w":{)" + fields + "}}", eight); };
  const std::vector<BadFile> cases = {
      {"empty", "", {"found 0 bytes"}},
      {"shorter than a length", "1234567", {"found 7 bytes"}},
      {"length beyond the file", with_length(99, "{}"), {"at most 2 bytes", "found one of 99"}},
      {"length that wraps", with_length(UINT64_MAX, "{}"), {"found one of 18446744073709551615"}},
      {"not JSON", file_of("hello", eight), {"model.safetensors"}},
      {"not an object", file_of("[1]", eight), {"object"}},
      {"tensor not an object", file_of(R"({"w":1})", eight), {"w"}},
      {"no dtype", header(R"("shape":[2],"data_offsets":[0,8])"), {"w: expected a field \"dtype\""}},
      {"dtype that is no string", header(R"("dtype":4,"shape":[2],"data_offsets":[0,8])"), {"w.dtype", "string"}},
      {"size of a type of less than a byte",
       header(R"("dtype":"F4","shape":[2],"data_offsets":[0,8])"),
       {"w.data_offsets", "1 bytes", "[2] of F4"}},
      {"negative shape", header(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), {"w.shape", "-2"}},
      {"shape that overflows",
       header(R"("dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0])"),
       {"w.shape", "can be counted"}},
      {"too many dimensions",
       header(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2],"data_offsets":[0,8])"),
       {"w.shape", "at most 16"}},
      {"shape and offsets disagree",
       header(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"),
       {"w.data_offsets", "12 bytes", "[3]"}},
      {"offsets fall", header(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), {"w.data_offsets", "rise"}},
      {"offsets beyond the file",
       header(R"("dtype":"F32","shape":[4],"data_offsets":[0,16])"),
       {"w.data_offsets", "within the 8 bytes"}},
      {"offset beyond 63 bits",
       header(R"("dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,8])"),
       {"w.data_offsets"}},
      {"three offsets", header(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"), {"w.data_offsets", "two"}},
      {"a hole", header(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), {"\"w\"", "offset 0", "found 4"}},
      {"overlap",
       file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
               R"("x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
               eight),
       {"\"x\"", "offset 8", "found 4"}},
      {"twice",
       file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
               R"("w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
               eight),
       {"\"w\"", "found twice"}},
      {"oversized", file_of(kOne, eight + "x"), {"expected 8 bytes", "found 9", "larger"}},
      {"truncated", file_of(kOne, eight.substr(1)), {"w.data_offsets", "within the 7 bytes"}},
      {"metadata not of strings", file_of(R"({"__metadata__":{"a":1}})", ""), {"__metadata__.a", "string"}},
      {"metadata not an object", file_of(R"({"__metadata__":[]})", ""), {"__metadata__", "object"}},
  };
  const ScratchDirectory scratch;
  for (const BadFile& bad : cases) {
    SCOPED_TRACE(bad.name);
    const auto path = scratch.write("model.safetensors", bad.content);
    auto parts = bad.parts;
    parts.push_back(path.string());
    expect_error([&] { Checkpoint::open_file(path); }, ErrorCode::kInvalidFile, parts);
  }
}

TEST(Safetensors, RefusesAHeaderOverTheFormatsLimit) {
  const ScratchDirectory scratch;
  const auto path = scratch.write("model.safetensors", with_length(100'000'001, ""));
  fs::resize_file(path, 8 + 100'000'001);  // Sparse.
  expect_error([&] { Checkpoint::open_file(path); }, ErrorCode::kInvalidFile, {"at most 100000000 bytes", "100000001"});
}

TEST(Safetensors, SaysWhatToDoWithoutWeights) {
  const ScratchDirectory scratch;
  expect_error(
      [&] { Checkpoint::open(scratch.path()); }, ErrorCode::kNotFound,
      {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"});
  expect_error([&] { Checkpoint::open_file(scratch.path() / "x.safetensors"); }, ErrorCode::kNotFound,
               {"x.safetensors"});
  expect_error([&] { Checkpoint::open_file(scratch.path()); }, ErrorCode::kIo, {"regular file"});
}

TEST(Safetensors, ReadsShardsAndRefusesBadIndexes) {
  const ScratchDirectory scratch;
  scratch.write("one.safetensors", file_of(kOne, floats({1.0f, 2.0f})));
  scratch.write("two.safetensors",
                file_of(R"({"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", floats({3.0f})));
  const auto index = [&](const std::string& map) {
    scratch.write("model.safetensors.index.json", R"({"metadata":{"total_size":12},"weight_map":)" + map + "}");
  };
  index(R"({"w":"one.safetensors","v":"two.safetensors"})");
  const auto checkpoint = Checkpoint::open(scratch.path());
  EXPECT_EQ(checkpoint.files().size(), 2u);
  EXPECT_EQ(checkpoint.get("w", {2}).at(1), 2.0f);
  EXPECT_EQ(checkpoint.get("v", {1}).at(0), 3.0f);
  expect_error([&] { checkpoint.get("v", {2}); }, ErrorCode::kInvalidFile, {"two.safetensors", "\"v\""});

  const auto refused = [&](const std::string& map, ErrorCode code, const std::vector<std::string>& parts) {
    SCOPED_TRACE(map);
    index(map);
    expect_error([&] { Checkpoint::open(scratch.path()); }, code, parts);
  };
  // A name that isn't in its shard is an error where it is asked for, as for the reference.
  index(R"({"z":"one.safetensors"})");
  expect_error([&] { Checkpoint::open(scratch.path()).get("z", {2}); }, ErrorCode::kInvalidFile, {"\"z\""});
  refused(R"({"w":"three.safetensors"})", ErrorCode::kNotFound, {"three.safetensors"});
  for (const std::string name : {"../one.safetensors", "/etc/passwd", "a/one.safetensors", "..", ".", ""}) {
    refused(R"({"w":")" + name + "\"}", ErrorCode::kInvalidFile, {"weight_map.w", "same directory"});
  }
  refused("[]", ErrorCode::kInvalidFile, {"weight_map", "object"});
  refused(R"({"w":1})", ErrorCode::kInvalidFile, {"weight_map.w", "string"});
}

TEST(MappedFile, KeepsItsBytesWhenTheFileIsReplacedByRename) {
  const ScratchDirectory scratch;
  const auto path = scratch.write("model.safetensors", file_of(kOne, floats({1.0f, 2.0f})));
  const auto checkpoint = Checkpoint::open_file(path);
  EXPECT_NO_THROW(checkpoint.check_unwritten());
  fs::rename(scratch.write("new", file_of(kOne, floats({8.0f, 9.0f}))), path);
  EXPECT_NO_THROW(checkpoint.check_unwritten());
  EXPECT_EQ(checkpoint.get("w", {2}).at(0), 1.0f);
  fs::remove(path);
  EXPECT_NO_THROW(checkpoint.check_unwritten());
  EXPECT_EQ(checkpoint.get("w", {2}).at(1), 2.0f);
}

TEST(MappedFile, SaysWhenTheFileIsOverwrittenOrCutInPlace) {
  const ScratchDirectory scratch;
  const std::string content = file_of(kOne, floats({1.0f, 2.0f}));
  const auto path = scratch.write("model.safetensors", content);
  const auto long_ago = fs::last_write_time(path) - std::chrono::hours(1);
  const auto parts = [&](const std::string& found) {
    return std::vector{path.string(), "expected the " + std::to_string(content.size()) + " bytes", "found " + found};
  };
  {
    fs::last_write_time(path, long_ago);
    const auto checkpoint = Checkpoint::open_file(path);
    scratch.write("model.safetensors", content);
    expect_error([&] { checkpoint.check_unwritten(); }, ErrorCode::kInvalidFile,
                 parts(std::to_string(content.size()) + " bytes written since"));
  }
  fs::last_write_time(path, long_ago);
  const auto checkpoint = Checkpoint::open_file(path);
  fs::resize_file(path, 3);
  fs::last_write_time(path, long_ago);
  expect_error([&] { checkpoint.check_unwritten(); }, ErrorCode::kInvalidFile, parts("3 bytes"));
}

std::string random_file(const std::vector<std::vector<uint8_t>>& shapes, std::vector<float>& values) {
  std::string header = "{";
  for (size_t i = 0; i < shapes.size(); ++i) {
    const size_t begin = values.size();
    size_t count = 1;
    std::string shape;
    for (const uint8_t dimension : shapes[i]) {
      count *= dimension;
      shape += (shape.empty() ? "" : ",") + std::to_string(dimension);
    }
    for (size_t k = 0; k < count; ++k) values.push_back(static_cast<float>(values.size()) * 0.5f);
    header += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) + R"(":{"dtype":"F32","shape":[)" + shape +
              R"(],"data_offsets":[)" + std::to_string(4 * begin) + "," + std::to_string(4 * values.size()) + "]}";
  }
  return file_of(header + "}", floats(values));
}

std::vector<std::vector<uint8_t>> any_shapes() {
  const auto dimension = rc::gen::inRange<uint8_t>(0, 5);
  const auto shape = rc::gen::resize(3, rc::gen::container<std::vector<uint8_t>>(dimension));
  return *rc::gen::resize(6, rc::gen::container<std::vector<std::vector<uint8_t>>>(shape));
}

RC_GTEST_PROP(SafetensorsProperty, ReadsWhatWasWritten, ()) {
  const auto shapes = any_shapes();
  std::vector<float> values;
  const ScratchDirectory scratch;
  const auto checkpoint = Checkpoint::open_file(scratch.write("f", random_file(shapes, values)));
  RC_ASSERT(checkpoint.tensors().size() == shapes.size());
  size_t next = 0;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const TensorView& tensor = checkpoint.get("t" + std::to_string(i), Shape(shapes[i].begin(), shapes[i].end()));
    for (int64_t k = 0; k < tensor.size(); ++k) RC_ASSERT(tensor.at(k) == values[next++]);
  }
  RC_ASSERT(next == values.size());
}

RC_GTEST_PROP(SafetensorsProperty, FlippedBytesGiveAnErrorOrTensorsInsideTheFile, ()) {
  std::vector<float> values;
  std::string bytes = random_file(any_shapes(), values);
  const auto flips = *rc::gen::inRange(1, 4);
  for (int i = 0; i < flips; ++i) {
    bytes[*rc::gen::inRange<size_t>(0, bytes.size())] ^= static_cast<char>(1 << *rc::gen::inRange(0, 8));
  }
  const ScratchDirectory scratch;
  const auto path = scratch.write("f", bytes);
  try {
    const auto checkpoint = Checkpoint::open_file(path);
    const auto file = checkpoint.files().front().bytes();
    RC_ASSERT(checkpoint.bytes() < file.size());
    for (const auto& [name, tensor] : checkpoint.tensors()) {
      RC_ASSERT(tensor.view.data >= file.data());
      RC_ASSERT(tensor.view.data + tensor.view.bytes() <= file.data() + file.size());
    }
  } catch (const Error& error) {
    RC_ASSERT(error.code() == ErrorCode::kInvalidFile);
  }
}

}  // namespace
}  // namespace remuda::io
