// A pickle read as data. The reader knows the few globals that weights are made of, and what they would make; it
// refuses all others by name and runs nothing.
//
// Opcodes and their meaning: Lib/pickletools.py of Python 3.12. What tensors look like: torch/_utils.py and
// torch/_weights_only_unpickler.py of PyTorch 2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace remuda::io {

// A value, or where the pickle has it.
struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,     // number
    kInt,      // number
    kFloat,    // Its value is of no use here.
    kString,   // Of text or bytes, and integers beyond 64 bits: index into strings.
    kTuple,    // index into sequences; so for the next two.
    kList,     // Sets, too.
    kDict,     // Keys and values by turns.
    kGlobal,   // index into globals
    kObject,   // What a global would make, which nobody looks into: index into globals.
    kStorage,  // index into storages
    kTensor,   // index into tensors
  };

  Kind kind = Kind::kNone;
  int64_t number = 0;

  size_t index() const { return static_cast<size_t>(number); }
};

// The type of a storage's elements, or of a tensor's.
struct ElementType {
  std::string_view name;  // "FloatStorage", "float32".
  size_t size;            // Bytes.
  DType dtype;            // Only where it is readable.
  bool is_readable = true;
};

struct PickledStorage {
  const ElementType* type;   // Null: untyped, of bytes.
  std::string_view key;      // The name of its data.
  uint64_t count;            // Elements.
  uint64_t view_offset = 0;  // In the older format, elements of the storage of this name that lie before it.
};

struct PickledTensor {
  size_t storage = 0;  // Index into storages.
  int64_t offset = 0;  // Elements; so are the strides.
  Shape shape;
  Shape strides;
  const ElementType* type = nullptr;
  std::string
      unreadable;  // Made by a function that makes no plain tensor: its name. Then nothing else is set but this.
};

struct Pickle {
  PickleValue root;
  std::vector<std::string_view> strings;  // Views of the bytes that were read.
  std::vector<std::vector<PickleValue>> sequences;
  std::vector<std::string> globals;  // "collections.OrderedDict"
  std::vector<PickledStorage> storages;
  std::vector<PickledTensor> tensors;

  bool is(PickleValue value, std::string_view text) const {
    return value.kind == PickleValue::Kind::kString && strings[value.index()] == text;
  }
};

// Reads the pickle that begins at `position`, and moves on to its end. `where` is for messages. Throws
// Error(kUnsupported), naming the global, for what isn't made of weights; Error(kInvalidFile) for damage.
Pickle read_pickle(std::span<const std::byte> bytes, size_t& position, const std::string& where);

}  // namespace remuda::io
