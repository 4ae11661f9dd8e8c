#include "io/pytorch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstddef>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "base/scratch_directory.h"
#include "io/checkpoint.h"
#include "io/pytorch_test_support.h"
#include "remuda/error.h"
#include "tensor/tensor.h"

namespace remuda::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

fs::path golden(const std::string& name) { return fs::path(REMUDA_SOURCE_DIR) / "tests/golden/checkpoints" / name; }

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void expect_floats(const Checkpoint& checkpoint, const std::string& name, const StoredTensor& expected) {
  const std::vector<float> wanted = [&] {
    std::vector<float> values(static_cast<size_t>(expected.view.size()));
    to_float(expected.view, 0, expected.view.size(), values.data());
    return values;
  }();
  for (const bool is_table : {false, true}) {
    const TensorView found =
        is_table ? checkpoint.get_table(name, expected.view.shape) : checkpoint.get(name, expected.view.shape);
    std::vector<float> values(wanted.size());
    to_float(found, 0, found.size(), values.data());
    EXPECT_EQ(values, wanted) << name;
  }
}

TEST(PyTorchFile, HasWhatTorchLoadGives) {
  const Checkpoint expected = Checkpoint::open_file(golden("expected.safetensors"));
  std::map<std::string, int> counts;
  for (const auto& [full, tensor] : expected.tensors()) {
    const std::string file = full.substr(0, full.find('/')), name = full.substr(full.find('/') + 1);
    SCOPED_TRACE(full);
    const Checkpoint checkpoint = Checkpoint::open_file(golden(file + ".bin"));
    expect_floats(checkpoint, name, tensor);
    ++counts[file];
  }
  EXPECT_EQ(counts.size(), 15u);
}

TEST(PyTorchFile, NamesWhatCannotBeComputedWithWhereItIsUsed) {
  const auto message = [](const std::string& file, const std::string& name, const Shape& shape) -> std::string {
    const Checkpoint checkpoint = Checkpoint::open_file(golden(file));
    EXPECT_TRUE(checkpoint.has(name));
    try {
      checkpoint.get(name, shape);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      return error.what();
    }
    return "nothing thrown";
  };
  EXPECT_THAT(message("quantized.bin", "quantized", {2, 3}), HasSubstr("torch._utils._rebuild_qtensor"));
  EXPECT_THAT(message("quantized.bin", "sparse", {3, 3}), HasSubstr("torch._utils._rebuild_sparse_tensor"));
  EXPECT_THAT(message("dtypes.bin", "float8", {2}), HasSubstr("float8_e4m3fn"));
  EXPECT_THAT(message("dtypes.bin", "complex", {1}), HasSubstr("ComplexFloatStorage"));
  EXPECT_THAT(message("dtypes_old.bin", "int64", {3}), HasSubstr("found I64"));
}

TEST(PyTorchFile, TensorsAreViewsOfTheFileAndTiedOnesCountOnce) {
  for (const char* name : {"state_dict.bin", "state_dict_old.bin"}) {
    const Checkpoint checkpoint = Checkpoint::open_file(golden(name));
    const auto file = checkpoint.files().front().bytes();
    for (const auto& [tensor, stored] : checkpoint.tensors()) {
      EXPECT_GE(stored.view.data, file.data()) << tensor;
      EXPECT_LE(stored.view.data + stored.view.bytes(), file.data() + file.size()) << tensor;
    }
    EXPECT_EQ(checkpoint.find("tied")->data, checkpoint.find("0.weight")->data);
    EXPECT_EQ(checkpoint.parameter_count(), 12 + 4 + 4 + 4 + 12 + 8 + 1);
  }
}

TEST(PyTorchFile, ADictionaryOfOthersIsNoStateDict) {
  try {
    Checkpoint::open_file(golden("nested.bin"));
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("its keys: state_dict, epoch"));
  }
}

struct Bad {
  const char* what;
  std::string content;
  std::vector<std::string> parts;
};

class PyTorchFileErrors : public ::testing::Test {
 protected:
  void expect_refused(const std::vector<Bad>& cases) {
    for (const Bad& bad : cases) {
      SCOPED_TRACE(bad.what);
      const fs::path path = scratch_.write("pytorch_model.bin", bad.content);
      try {
        Checkpoint::open_file(path);
        ADD_FAILURE() << "nothing thrown";
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == ErrorCode::kInvalidFile || error.code() == ErrorCode::kUnsupported);
        EXPECT_THAT(error.what(), HasSubstr(path.string()));
        for (const std::string& part : bad.parts) EXPECT_THAT(error.what(), HasSubstr(part));
      }
    }
  }

  const ScratchDirectory scratch_;
};

using namespace pickles;

std::string call(const std::string& module, const std::string& name, const std::string& arguments) {
  return global(module, name) + arguments + "R";
}

TEST_F(PyTorchFileErrors, WhatMightRunCodeIsRefusedByName) {
  const auto refused = [](const char* what, const std::string& value, const std::string& name) {
    return Bad{what, archive_of(whole(dictionary({{"w", value}}))), {"m/data.pkl", name}};
  };
  const std::string zeros = tensor(storage("FloatStorage", "0", 4), 0, {4}, {1});
  expect_refused({
      refused("os.system", call("posix", "system", tuple({text("echo owned")})), "posix.system"),
      refused("eval", call("builtins", "eval", tuple({text("1")})), "builtins.eval"),
      refused("eval of Python 2", call("__builtin__", "eval", tuple({text("1")})), "__builtin__.eval"),
      refused("by STACK_GLOBAL", text("nt") + text("system") + "\x93", "nt.system"),
      refused("by INST", "(" + text("x") + "iposix\nsystem\n", "posix.system"),
      refused("by OBJ", "(" + global("subprocess", "Popen") + "o", "subprocess.Popen"),
      refused("behind a known name", call("torch._utils._rebuild_tensor_v2.x", "y", ")"),
              "torch._utils._rebuild_tensor_v2.x.y"),
      refused("torch's own", call("torch.hub", "load", tuple({text("x")})), "torch.hub.load"),
      refused("numpy", global("numpy.core.multiarray", "_reconstruct"), "numpy.core.multiarray._reconstruct"),
      refused("an attribute", global("collections", "OrderedDict.__class__"), "collections.OrderedDict.__class__"),
      refused("a storage called", call("torch", "FloatStorage", tuple({integer(1 << 20)})), "torch.FloatStorage"),
      refused("an extension", "\x82\x01", "0x82"),
      refused("a persistent id in text", "Px\n", "0x50"),
      refused("a string called", text("x") + ")R", "known function"),
      refused("a tensor called", zeros + ")R", "known function"),
      refused("by _rebuild_from_type_v2",
              call("torch._tensor", "_rebuild_from_type_v2", tuple({global("os", "popen"), text(""), ")", "}"})),
              "os.popen"),
      refused("_rebuild_from_type_v2 of itself",
              "(" + global("torch._tensor", "_rebuild_from_type_v2") + "q\1" + "h\1Ntq\2" + "0h\1h\2R", "arguments"),
      refused("BUILD of a list", "]}b", "BUILD"),
      refused("BUILD of a function", global("collections", "OrderedDict") + "}b", "BUILD"),
      refused("BUILD by a tuple", call("collections", "OrderedDict", ")") + ")b", "BUILD"),
      refused("BUILD of __class__", call("collections", "OrderedDict", ")") + dictionary({{"__class__", "N"}}) + "b",
              "__class__"),
      refused("an OrderedDict of items", call("collections", "OrderedDict", tuple({text("x")})), "OrderedDict"),
      refused("a parameter of a string", call("torch._utils", "_rebuild_parameter", tuple({text("x"), "\x89", "N"})),
              "torch._utils._rebuild_parameter"),
      refused("a storage of another kind", tuple({text("module"), "N", "N", "N", "N"}) + "Q", "storage"),
      {"a bare pickle", whole(call("posix", "system", tuple({text("x")}))), {"posix.system"}},
      {"protocol 4 by itself", "\x80\x04" + text("posix") + text("system") + "\x93.", {"posix.system"}},
  });
}

TEST_F(PyTorchFileErrors, DamagedPicklesAreRefused) {
  const auto refused = [](const char* what, const std::string& pickle, const std::string& part) {
    return Bad{what, archive_of(pickle), {"m/data.pkl", part}};
  };
  std::string bomb = "\x80\x02]q" + std::string(1, '\0');
  for (int i = 0; i < 60; ++i) bomb += std::string("h\0h\0", 4) + "\x86q" + std::string(1, '\0');
  expect_refused({
      refused("nothing", "", "cut short"),
      refused("no STOP", "\x80\x02}", "cut short"),
      refused("protocol 6", "\x80\x06}.", "protocol 5"),
      refused("nothing on the stack", "\x80\x02.", "stack"),
      refused("below the mark", "\x80\x02}(s.", "stack"),
      refused("no mark", "\x80\x02}u.", "mark"),
      refused("no such memo", "\x80\x02h\x07.", "memo"),
      refused("a key without value", "\x80\x02}(Nu.", "value for each key"),
      refused("a string beyond the end", "\x80\x02X" + little<uint32_t>(UINT32_MAX) + "x.", "cut short"),
      refused("a string that wraps", "\x80\x02\x8d" + little<uint64_t>(UINT64_MAX) + "x.", "cut short"),
      refused("a line without end",
              "\x80\x02"
              "c" +
                  std::string(5000, 'x'),
              "line"),
      refused("a long one", "\x80\x02Iabc\n.", "integer"),
      refused("an unknown opcode", "\x80\x02\xff.", "0xff"),
      refused("an item of a list", "\x80\x02]NNs.", "dictionary"),
      {"a memo bomb", archive_of(bomb + "."), {"dictionary of tensors"}},
      {"many operations", archive_of(std::string((16 << 20) + 8, '(')), {"at most 16777216 operations"}},
      {"no dictionary", archive_of("\x80\x02N."), {"dictionary of tensors"}},
      {"no tensors", archive_of("\x80\x02}."), {"its keys: none"}},
  });
}

TEST_F(PyTorchFileErrors, DeeplyNestedValuesAreNoMatter) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "]";
  for (int i = 1; i < 100'000; ++i) deep += "a";
  const std::string good = tensor(storage("FloatStorage", "0", 4), 0, {4}, {1});
  const fs::path path = scratch_.write("x.bin", archive_of(whole(dictionary({{"deep", deep}, {"w", good}}))));
  EXPECT_EQ(Checkpoint::open_file(path).tensors().size(), 1u);
}

TEST_F(PyTorchFileErrors, TensorsOutsideTheirStorageAreRefused) {
  const auto refused = [](const char* what, const std::string& value, const std::string& part) {
    return Bad{what, archive_of(whole(dictionary({{"w", value}}))), {part}};
  };
  const std::string data = storage("FloatStorage", "0", 16);  // As large as it can be.
  constexpr int64_t kHuge = int64_t{1} << 62;
  expect_refused({
      refused("one element too many", tensor(data, 0, {17}, {1}), "\"w\""),
      refused("an offset too far", tensor(data, 1, {16}, {1}), "from element 1"),
      refused("an offset behind the end", tensor(data, 17, {0}, {1}), "from element 17"),
      refused("a negative offset", tensor(data, -1, {4}, {1}), "offset of at least 0"),
      refused("a negative size", tensor(data, 0, {-4}, {1}), "sizes of at least 0"),
      refused("a negative stride", tensor(data, 3, {4}, {-1}), "at least 0"),
      refused("strides too far", tensor(data, 0, {4, 4}, {5, 1}), "\"w\""),
      refused("strides that wrap", tensor(data, 0, {3, 2}, {kHuge, 1}), "\"w\""),
      refused("sizes that wrap", tensor(data, 0, {kHuge, 4}, {0, 0}), "\"w\""),
      refused("sizes that wrap beside an empty one", tensor(data, 0, {kHuge, 4, 0}, {0, 0, 0}), "\"w\""),
      refused("an offset that wraps", tensor(data, INT64_MAX, {2}, {INT64_MAX}), "\"w\""),
      refused("more strides than sizes", tensor(data, 0, {4}, {4, 1}), "as many strides"),
      refused("too many sizes", tensor(data, 0, std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1)),
              "at most 64"),
      refused("a storage larger than its data", tensor(storage("FloatStorage", "0", 17), 0, {1}, {1}), "data/0"),
      refused("a storage that wraps", tensor(storage("FloatStorage", "0", kHuge), 0, {1}, {1}), "data/0"),
      refused("a negative storage", tensor(storage("FloatStorage", "0", -1), 0, {1}, {1}), "storage"),
      refused("a storage that isn't there", tensor(storage("FloatStorage", "1", 1), 0, {1}, {1}), "data/1"),
      refused("a path for a key", tensor(storage("FloatStorage", "../0", 1), 0, {1}, {1}), "data/../0"),
      refused("an unknown type", tensor(storage("EvilStorage", "0", 1), 0, {1}, {1}), "torch.EvilStorage"),
      refused("a type of no storage", tensor(storage("float32", "0", 1), 0, {1}, {1}), "type"),
      refused("no storage", tensor("N", 0, {1}, {1}), "storage"),
  });
}

TEST_F(PyTorchFileErrors, DamagedArchivesAreRefused) {
  const std::string pickle = whole(dictionary({{"w", tensor(storage("FloatStorage", "0", 4), 0, {4}, {1})}}));
  const std::string data(16, '\0');
  const auto with = [&](ZipEntry entry) { return zip_of({{"m/data.pkl", pickle}, std::move(entry)}); };
  const size_t second = 30 + 10 + pickle.size();
  std::string no_disk = archive_of(pickle);
  no_disk.resize(no_disk.size() - 5);
  expect_refused({
      {"compressed", with({"m/data/0", data, 8}), {"m/data/0", "compressed"}},
      {"encrypted", with({.name = "m/data/0", .data = data, .flags = 1}), {"m/data/0", "encrypted"}},
      {"larger than the file", with({"m/data/0", data, 0, 4'000'000'000}), {"m/data/0", "beyond"}},
      {"larger by what wraps",
       zip_of({{"m/data.pkl", pickle}, {"m/data/0", data, 0, UINT64_MAX - 8}}, true),
       {"m/data/0", "beyond"}},
      {"outside of the file", with({"m/data/0", data, 0, UINT64_MAX, 1 << 30}), {"m/data/0", "1073741824"}},
      {"no header there", with({"m/data/0", data, 0, UINT64_MAX, 3}), {"m/data/0", "found none at 3"}},
      {"the pickle's bytes",
       zip_of({{"m/data.pkl", pickle}, {"m/data.pkl2", data, 0, UINT64_MAX, 0, "m/data.pkl"}}),
       {"m/data.pkl2"}},
      {"overlapping the next",
       zip_of({{"m/data.pkl", pickle}, {"m/data/0", data, 0, 40}, {"m/data/1", data}}),
       {"m/data/1", "m/data/0"}},
      {"into the directory", with({"m/data/0", data, 0, 17}), {"m/data/0", "beyond"}},
      {"another name before the data",
       with({.name = "m/data/0", .data = data, .local_name = "m/data/1"}),
       {"m/data/0"}},
      {"twice", zip_of({{"m/data.pkl", pickle}, {"m/data/0", data}, {"m/data/0", data}}), {"m/data/0", "found twice"}},
      {"no pickle", zip_of({{"m/data/0", data}}), {"m/data.pkl"}},
      {"nothing", "PK\3\4", {"central directory"}},
      {"no end", no_disk, {"central directory"}},
      {"big-endian", zip_of({{"m/data.pkl", pickle}, {"m/byteorder", "big"}}), {"m/byteorder", "big"}},
      {"other bytes", "version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", {"pointer to another file"}},
      {"empty", "", {"torch.save"}},
  });
  EXPECT_EQ(second, 30 + 10 + pickle.size());
  for (const bool in_64 : {false, true}) {
    const fs::path good = scratch_.write("good.bin", zip_of({{"m/data.pkl", pickle}, {"m/data/0", data}}, in_64));
    EXPECT_EQ(Checkpoint::open_file(good).get("w", {4}).at(3), 0.0f);
  }
}

TEST_F(PyTorchFileErrors, CutAtAnyByteTheyAreErrors) {
  // An archive's end is what a reader begins with, so there each cut is the same to it.
  const std::vector<std::pair<const char*, size_t>> files = {
      {"state_dict.bin", 11}, {"mixed.bin", 11}, {"state_dict_old.bin", 1}, {"mixed_old.bin", 3}};
  for (const auto& [name, step] : files) {
    const std::string whole = content_of(golden(name));
    for (size_t size = 0; size < whole.size(); size += step) {
      const fs::path path = scratch_.write("cut.bin", whole.substr(0, size));
      EXPECT_THROW(Checkpoint::open_file(path), Error) << name << " cut at " << size;
    }
    EXPECT_THROW(Checkpoint::open_file(scratch_.write("cut.bin", whole.substr(0, whole.size() - 1))), Error) << name;
  }
}

TEST_F(PyTorchFileErrors, TheOlderFormatsPartsAreChecked) {
  std::string content = content_of(golden("state_dict_old.bin"));
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string copy = content;
    const size_t at = copy.find(from);
    EXPECT_NE(at, std::string::npos);
    return copy.replace(at, from.size(), to);
  };
  expect_refused({
      {"another magic number", edited("\x6c\xfc\x9c", "\x6c\xfc\x9d"), {"torch.save"}},
      {"another version", edited("M\xe9\x03", "M\xea\x03"), {"1001"}},
      {"big-endian", edited("little_endianq\2\x88", "little_endianq\2\x89"), {"big-endian"}},
  });
}

RC_GTEST_PROP(PyTorchFileProperty, FlippedBytesGiveAnErrorOrTensorsInsideTheFile, ()) {
  static const std::vector<std::string> files = {content_of(golden("state_dict.bin")), content_of(golden("views.bin")),
                                                 content_of(golden("mixed_old.bin")),
                                                 content_of(golden("views_old.bin"))};
  std::string bytes = files[*rc::gen::inRange<size_t>(0, files.size())];
  const auto flips = *rc::gen::inRange(1, 4);
  for (int i = 0; i < flips; ++i) {
    bytes[*rc::gen::inRange<size_t>(0, bytes.size())] ^= static_cast<char>(1 << *rc::gen::inRange(0, 8));
  }
  const ScratchDirectory scratch;
  const auto path = scratch.write("f.bin", bytes);
  try {
    const Checkpoint checkpoint = Checkpoint::open_file(path);
    for (const auto& [name, tensor] : checkpoint.tensors()) {
      if (!tensor.unreadable.empty() || tensor.view.bytes() > (1 << 24)) continue;
      const DType dtype = tensor.view.dtype;
      if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16 && dtype != DType::kF64) continue;
      const TensorView view = checkpoint.get(name, tensor.view.shape);
      for (int64_t i = 0; i < view.size(); ++i) view.at(i);
    }
  } catch (const Error& error) {
    RC_ASSERT(error.code() == ErrorCode::kInvalidFile || error.code() == ErrorCode::kUnsupported);
  }
}

}  // namespace
}  // namespace remuda::io
