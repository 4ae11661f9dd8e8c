#include "io/pickle_calls.h"

#include "base/fail.h"

namespace remuda::io {
namespace {

using Kind = PickleValue::Kind;

constexpr size_t kMaxDimensions = 64;  // PyTorch's own limit.
constexpr int kMaxCalls = 8;           // Of _rebuild_from_type_v2 by itself.

PickleValue added(Kind kind, size_t index) { return {kind, static_cast<int64_t>(index)}; }

}  // namespace

void PickleCalls::fail_damaged(std::string_view expected) const {
  fail(ErrorCode::kInvalidFile, "{}: expected {}, found something else; the file is damaged", where_, expected);
}

void PickleCalls::refuse(std::string_view global) const {
  fail(ErrorCode::kUnsupported,
       "{}: expected tensors and the globals that they are made of, found the global {}, which might run code; nothing "
       "of the file was run. If you trust it, write its state dict anew with torch.save or as model.safetensors",
       where_, global);
}

PickleValue PickleCalls::global(std::string_view module, std::string_view name) {
  std::string full = fmt::format("{}.{}", module, name);
  const PickleGlobal role = find_pickle_global(full);
  if (role.role == GlobalRole::kRefused) refuse(full);
  pickle_.globals.push_back(std::move(full));
  roles_.push_back(role);
  return added(Kind::kGlobal, roles_.size() - 1);
}

const PickleCalls::Values& PickleCalls::tuple(PickleValue value, std::string_view what) const {
  if (value.kind != Kind::kTuple) fail_damaged(what);
  return pickle_.sequences[value.index()];
}

int64_t PickleCalls::integer(PickleValue value, std::string_view what) const {
  if (value.kind != Kind::kInt || value.number < 0) fail_damaged(what);
  return value.number;
}

Shape PickleCalls::integers(PickleValue value, std::string_view what) const {
  if (value.kind != Kind::kTuple && value.kind != Kind::kList) fail_damaged(what);
  const Values& values = pickle_.sequences[value.index()];
  if (values.size() > kMaxDimensions) fail_damaged(what);
  Shape result;
  for (const PickleValue item : values) result.push_back(integer(item, what));
  return result;
}

// Null for an untyped storage.
const ElementType* PickleCalls::type_of(PickleValue value, bool is_storage) const {
  if (value.kind != Kind::kGlobal) fail_damaged("a type of numbers");
  const PickleGlobal& global = roles_[value.index()];
  if (global.role != GlobalRole::kElementType || global.is_storage != is_storage) fail_damaged("a type of numbers");
  return global.type;
}

PickleValue PickleCalls::odd_tensor(const std::string& name) {
  pickle_.tensors.push_back({.shape = {}, .strides = {}, .unreadable = name});
  return added(Kind::kTensor, pickle_.tensors.size() - 1);
}

PickleValue PickleCalls::tensor(const Values& arguments, GlobalRole role, const std::string& name) {
  constexpr size_t kPlain = 4, kTyped = 7;
  if (arguments.size() < (role == GlobalRole::kTypedTensor ? kTyped : kPlain) || arguments[0].kind != Kind::kStorage) {
    fail_damaged(fmt::format("a storage, offset, shape and strides as the arguments of {}", name));
  }
  PickledTensor tensor;
  tensor.storage = arguments[0].index();
  tensor.offset = integer(arguments[1], "a tensor's offset of at least 0");
  tensor.shape = integers(arguments[2], "a tensor's shape: at most 64 sizes of at least 0");
  tensor.strides = integers(arguments[3], "a tensor's strides: at most 64 numbers of at least 0");
  if (tensor.shape.size() != tensor.strides.size()) fail_damaged("as many strides as sizes of a tensor");
  tensor.type = pickle_.storages[tensor.storage].type;
  size_t metadata = 6;
  if (role == GlobalRole::kTypedTensor) {
    tensor.type = type_of(arguments[6], false);
    metadata = 7;
  }
  if (tensor.type == nullptr) fail_damaged("the type of a tensor's elements");
  // A tensor whose elements stand for their negatives or conjugates.
  if (arguments.size() > metadata && arguments[metadata].kind == Kind::kDict &&
      !pickle_.sequences[arguments[metadata].index()].empty()) {
    return odd_tensor(name + " with metadata");
  }
  pickle_.tensors.push_back(std::move(tensor));
  return added(Kind::kTensor, pickle_.tensors.size() - 1);
}

PickleValue PickleCalls::call(PickleValue function, PickleValue arguments) {
  for (int depth = 0; depth < kMaxCalls; ++depth) {
    if (function.kind != Kind::kGlobal) fail_damaged("a known function where one is called");
    const std::string name = pickle_.globals[function.index()];
    const Values values = tuple(arguments, "a tuple as a function's arguments");
    switch (const GlobalRole role = roles_[function.index()].role) {
      case GlobalRole::kOrderedDict:
        // Python 2 wrote an empty list of items along.
        if (!values.empty() &&
            !(values.size() == 1 && values[0].kind == Kind::kList && pickle_.sequences[values[0].index()].empty())) {
          fail_damaged("no arguments of collections.OrderedDict");
        }
        pickle_.sequences.emplace_back();
        return added(Kind::kDict, pickle_.sequences.size() - 1);
      case GlobalRole::kTensor:
      case GlobalRole::kTypedTensor:
        return tensor(values, role, name);
      case GlobalRole::kFirst:
        if (values.empty() || values[0].kind != Kind::kTensor) fail_damaged("a tensor as the argument of " + name);
        return values[0];
      case GlobalRole::kCall:
        if (values.size() < 3) fail_damaged("a function, a type and arguments as those of " + name);
        function = values[0];
        arguments = values[2];
        continue;
      case GlobalRole::kOddTensor:
        return odd_tensor(name);
      case GlobalRole::kInert:
        return added(Kind::kObject, function.index());
      case GlobalRole::kElementType:
      case GlobalRole::kRefused:
        fail(ErrorCode::kUnsupported, "{}: expected calls that make tensors, found one of {}", where_, name);
    }
  }
  fail_damaged("a call that makes a tensor");
}

void PickleCalls::set_state(PickleValue object, PickleValue state) const {
  if (object.kind == Kind::kObject || object.kind == Kind::kTensor) return;
  const bool is_state = object.kind == Kind::kDict && state.kind == Kind::kDict;
  if (!is_state) fail_damaged("BUILD to set the attributes of an OrderedDict or a tensor");
  const Values& values = pickle_.sequences[state.index()];
  for (size_t i = 0; i < values.size(); i += 2) {
    const bool is_name = values[i].kind == Kind::kString;
    if (is_name && !pickle_.strings[values[i].index()].starts_with("__")) continue;
    fail(ErrorCode::kUnsupported, "{}: expected BUILD to set plain attributes, as _metadata, found {}", where_,
         is_name ? pickle_.strings[values[i].index()] : "one without a name");
  }
}

PickleValue PickleCalls::storage(PickleValue id) {
  constexpr std::string_view kExpected = "the type, key and size of a storage as its id";
  const Values& values = tuple(id, kExpected);
  if (values.size() < 5 || !pickle_.is(values[0], "storage") || values[2].kind != Kind::kString) {
    fail_damaged(kExpected);
  }
  PickledStorage storage{.type = type_of(values[1], true),
                         .key = pickle_.strings[values[2].index()],
                         .count = static_cast<uint64_t>(integer(values[4], kExpected))};
  if (values.size() > 5 && values[5].kind != Kind::kNone) {
    const Values& view = tuple(values[5], "the key, offset and size of a storage's view");
    if (view.size() != 3) fail_damaged("the key, offset and size of a storage's view");
    storage.view_offset = static_cast<uint64_t>(integer(view[1], "a view's offset of at least 0"));
    storage.count = static_cast<uint64_t>(integer(view[2], "a view's size of at least 0"));
  }
  pickle_.storages.push_back(storage);
  return added(Kind::kStorage, pickle_.storages.size() - 1);
}

}  // namespace remuda::io
