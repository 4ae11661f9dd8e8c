// What the calls in a pickle of weights make.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/pickle.h"
#include "io/pickle_globals.h"

namespace remuda::io {

// Makes values in a pickle that is being read. `where` is for messages. All functions throw Error(kInvalidFile), or
// Error(kUnsupported) naming the global for what isn't of weights.
class PickleCalls {
 public:
  PickleCalls(Pickle& pickle, const std::string& where) : pickle_(pickle), where_(where) {}

  PickleValue global(std::string_view module, std::string_view name);
  // REDUCE and NEWOBJ: `function` called with a tuple.
  PickleValue call(PickleValue function, PickleValue arguments);
  // BUILD: sets an object's attributes, none of which count.
  void set_state(PickleValue object, PickleValue state) const;
  // BINPERSID: a storage.
  PickleValue storage(PickleValue id);

  [[noreturn]] void fail_damaged(std::string_view expected) const;

 private:
  using Values = std::vector<PickleValue>;

  [[noreturn]] void refuse(std::string_view global) const;
  const Values& tuple(PickleValue value, std::string_view what) const;
  int64_t integer(PickleValue value, std::string_view what) const;
  Shape integers(PickleValue value, std::string_view what) const;
  const ElementType* type_of(PickleValue value, bool is_storage) const;
  PickleValue tensor(const Values& arguments, GlobalRole role, const std::string& name);
  PickleValue odd_tensor(const std::string& name);

  Pickle& pickle_;
  const std::string& where_;
  std::vector<PickleGlobal> roles_;  // Of the pickle's globals.
};

}  // namespace remuda::io
