#include "io/pickle.h"

#include <charconv>
#include <unordered_map>
#include <utility>

#include "base/fail.h"
#include "io/little_endian.h"
#include "io/pickle_calls.h"

namespace remuda::io {
namespace {

using Kind = PickleValue::Kind;

// A pickle of 100,000 tensors makes some millions of values.
constexpr size_t kMaxValues = 16 << 20;
constexpr int kNewestProtocol = 5;
constexpr size_t kMaxLine = 4096;

// The opcodes' names are pickletools'.
enum Op : unsigned char {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kFloat = 'F',
  kInt = 'I',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kLong = 'L',
  kBinInt2 = 'M',
  kNone = 'N',
  kReduce = 'R',
  kString = 'S',
  kBinString = 'T',
  kShortBinString = 'U',
  kUnicode = 'V',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kAppends = 'e',
  kGet = 'g',
  kBinGet = 'h',
  kInst = 'i',
  kLongBinGet = 'j',
  kList = 'l',
  kPut = 'p',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyList = ']',
  kEmptyTuple = ')',
  kBinFloat = 'G',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kBinPersId = 'Q',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
};

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, size_t position, const std::string& where)
      : bytes_(bytes), position_(position), where_(where), calls_(pickle_, where) {}

  Pickle read() {
    for (;;) {
      const auto op = take<uint8_t>();
      if (op == kStop) break;
      if (++values_ > kMaxValues) fail_at(fmt::format("at most {} operations", kMaxValues), "more");
      if (!read_constant(op) && !read_text(op) && !read_container(op) && !read_memo(op)) read_object(op);
    }
    pickle_.root = pop();
    return std::move(pickle_);
  }

  size_t position() const { return position_; }

 private:
  [[noreturn]] void fail_at(std::string_view expected, std::string_view found) const {
    fail(ErrorCode::kInvalidFile, "{}: byte {}: expected {}, found {}; the file is damaged", where_, position_,
         expected, found);
  }

  std::string_view take_bytes(uint64_t count) {
    if (count > bytes_.size() - position_) fail_at(fmt::format("{} bytes more", count), "the end: it is cut short");
    const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()) + position_, count);
    position_ += count;
    return taken;
  }

  template <typename T>
  T take() {
    return read_little<T>(std::as_bytes(std::span(take_bytes(sizeof(T)))), 0);
  }

  std::string_view take_line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + position_,
                                std::min(bytes_.size() - position_, kMaxLine));
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) fail_at(fmt::format("a line of at most {} bytes", kMaxLine), "none");
    position_ += end + 1;
    return rest.substr(0, end);
  }

  void push(Kind kind, int64_t number = 0) { stack_.push_back({kind, number}); }
  void push_string(std::string_view text) {
    pickle_.strings.push_back(text);
    push(Kind::kString, std::ssize(pickle_.strings) - 1);
  }
  void push_sequence(Kind kind, std::vector<PickleValue> values) {
    pickle_.sequences.push_back(std::move(values));
    push(kind, std::ssize(pickle_.sequences) - 1);
  }

  // The stack above the last mark is all that opcodes see.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleValue pop() {
    if (stack_.size() <= floor()) fail_at("a value on the stack", "none");
    const PickleValue value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleValue top() const {
    if (stack_.size() <= floor()) fail_at("a value on the stack", "none");
    return stack_.back();
  }
  std::vector<PickleValue> pop_mark() {
    if (marks_.empty()) fail_at("a mark on the stack", "none");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleValue> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }
  std::vector<PickleValue> pop_last(size_t count) {
    std::vector<PickleValue> values(count);
    for (size_t i = count; i-- > 0;) values[i] = pop();
    return values;
  }

  void push_integer(std::string_view text) {
    if (text.ends_with('L')) text.remove_suffix(1);
    if (text == "00" || text == "01") return push(Kind::kBool, text[1] - '0');
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc::result_out_of_range) return push_string(text);
    if (error != std::errc() || end != text.data() + text.size()) fail_at("an integer", text);
    push(Kind::kInt, number);
  }

  // Little-endian, two's complement.
  void push_long(std::string_view bytes) {
    if (bytes.size() > sizeof(int64_t)) return push_string(bytes);
    uint64_t number = !bytes.empty() && static_cast<signed char>(bytes.back()) < 0 ? UINT64_MAX : 0;
    for (size_t i = bytes.size(); i-- > 0;) number = number << 8 | static_cast<unsigned char>(bytes[i]);
    push(Kind::kInt, static_cast<int64_t>(number));
  }

  bool read_constant(uint8_t op) {
    switch (op) {
      case kNone:
        push(Kind::kNone);
        return true;
      case kNewTrue:
      case kNewFalse:
        push(Kind::kBool, op == kNewTrue ? 1 : 0);
        return true;
      case kBinInt:
        push(Kind::kInt, take<int32_t>());
        return true;
      case kBinInt1:
        push(Kind::kInt, take<uint8_t>());
        return true;
      case kBinInt2:
        push(Kind::kInt, take<uint16_t>());
        return true;
      case kInt:
      case kLong:
        push_integer(take_line());
        return true;
      case kLong1:
        push_long(take_bytes(take<uint8_t>()));
        return true;
      case kLong4:
        push_long(take_bytes(take<uint32_t>()));
        return true;
      case kFloat:
        take_line();
        push(Kind::kFloat);
        return true;
      case kBinFloat:
        take_bytes(8);
        push(Kind::kFloat);
        return true;
      default:
        return false;
    }
  }

  bool read_text(uint8_t op) {
    switch (op) {
      case kString: {
        std::string_view text = take_line();
        if (text.size() >= 2) text = text.substr(1, text.size() - 2);  // Quotes.
        push_string(text);
        return true;
      }
      case kUnicode:
        push_string(take_line());
        return true;
      case kShortBinString:
      case kShortBinUnicode:
      case kShortBinBytes:
        push_string(take_bytes(take<uint8_t>()));
        return true;
      case kBinString:
      case kBinUnicode:
      case kBinBytes:
        push_string(take_bytes(take<uint32_t>()));
        return true;
      case kBinUnicode8:
      case kBinBytes8:
      case kByteArray8:
        push_string(take_bytes(take<uint64_t>()));
        return true;
      default:
        return false;
    }
  }

  bool read_container(uint8_t op) {
    switch (op) {
      case kEmptyTuple:
        push_sequence(Kind::kTuple, {});
        return true;
      case kEmptyList:
      case kEmptySet:
        push_sequence(Kind::kList, {});
        return true;
      case kEmptyDict:
        push_sequence(Kind::kDict, {});
        return true;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        push_sequence(Kind::kTuple, pop_last(static_cast<size_t>(op - kTuple1) + 1));
        return true;
      case kTuple:
      case kFrozenSet:
        push_sequence(Kind::kTuple, pop_mark());
        return true;
      case kList:
        push_sequence(Kind::kList, pop_mark());
        return true;
      case kDict:
        push_sequence(Kind::kDict, {});
        swap_below_mark();
        return true;
      case kAppend:
        append(Kind::kList, pop_last(1));
        return true;
      case kAppends:
      case kAddItems:
        append(Kind::kList, pop_mark());
        return true;
      case kSetItem:
        append(Kind::kDict, pop_last(2));
        return true;
      case kSetItems:
        append(Kind::kDict, pop_mark());
        return true;
      default:
        return false;
    }
  }

  // DICT: a dictionary of what lies above the mark.
  void swap_below_mark() {
    const PickleValue dict = pop();
    std::vector<PickleValue> values = pop_mark();
    stack_.push_back(dict);
    append(Kind::kDict, std::move(values));
  }

  void append(Kind kind, const std::vector<PickleValue>& values) {
    const PickleValue target = top();
    // Objects that nobody looks into may be filled like lists and dictionaries.
    if (target.kind == Kind::kObject) return;
    if (target.kind != kind) fail_at(kind == Kind::kDict ? "a dictionary to set items of" : "a list to add to", "none");
    if (kind == Kind::kDict && values.size() % 2 != 0) fail_at("a value for each key", "one too few");
    std::vector<PickleValue>& into = pickle_.sequences[target.index()];
    into.insert(into.end(), values.begin(), values.end());
  }

  uint64_t memo_index(std::string_view text) {
    uint64_t index = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
    if (error != std::errc() || end != text.data() + text.size()) fail_at("the number of a memo", text);
    return index;
  }
  void get(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail_at(fmt::format("a memo of number {}", index), "none");
    stack_.push_back(found->second);
  }
  void put(uint64_t index) { memo_[index] = top(); }

  bool read_memo(uint8_t op) {
    switch (op) {
      case kGet:
        get(memo_index(take_line()));
        return true;
      case kBinGet:
        get(take<uint8_t>());
        return true;
      case kLongBinGet:
        get(take<uint32_t>());
        return true;
      case kPut:
        put(memo_index(take_line()));
        return true;
      case kBinPut:
        put(take<uint8_t>());
        return true;
      case kLongBinPut:
        put(take<uint32_t>());
        return true;
      case kMemoize:
        put(memo_.size());
        return true;
      case kMark:
        marks_.push_back(stack_.size());
        return true;
      case kPop:
        if (stack_.size() == floor() && !marks_.empty()) {
          marks_.pop_back();
        } else {
          pop();
        }
        return true;
      case kPopMark:
        pop_mark();
        return true;
      case kDup:
        stack_.push_back(top());
        return true;
      default:
        return false;
    }
  }

  void read_object(uint8_t op) {
    switch (op) {
      case kProto:
        if (const auto protocol = take<uint8_t>(); protocol > kNewestProtocol) {
          fail_at(fmt::format("a pickle of protocol {} at most", kNewestProtocol), std::to_string(protocol));
        }
        return;
      case kFrame:
        take<uint64_t>();
        return;
      case kGlobal:
      case kInst: {
        const std::string_view module = take_line();
        const PickleValue global = calls_.global(module, take_line());
        if (op == kGlobal) return stack_.push_back(global);
        push_sequence(Kind::kTuple, pop_mark());
        return stack_.push_back(calls_.call(global, pop()));
      }
      case kStackGlobal: {
        const PickleValue name = pop(), module = pop();
        if (name.kind != Kind::kString || module.kind != Kind::kString) fail_at("the name of a global", "none");
        return stack_.push_back(calls_.global(pickle_.strings[module.index()], pickle_.strings[name.index()]));
      }
      case kReduce:
      case kNewObj: {
        const PickleValue arguments = pop(), function = pop();
        return stack_.push_back(calls_.call(function, arguments));
      }
      case kBuild: {
        const PickleValue state = pop();
        return calls_.set_state(top(), state);
      }
      case kBinPersId:
        return stack_.push_back(calls_.storage(pop()));
      default:
        fail(ErrorCode::kUnsupported,
             "{}: byte {}: expected an opcode that weights are made of, found {:#04x}; the file is damaged or no "
             "pickle of weights",
             where_, position_ - 1, op);
    }
  }

  const std::span<const std::byte> bytes_;
  size_t position_;
  const std::string& where_;
  Pickle pickle_;
  PickleCalls calls_;
  std::vector<PickleValue> stack_;
  std::vector<size_t> marks_;  // Sizes of the stack.
  std::unordered_map<uint64_t, PickleValue> memo_;
  size_t values_ = 0;
};

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, size_t& position, const std::string& where) {
  Machine machine(bytes, position, where);
  Pickle pickle = machine.read();
  position = machine.position();
  return pickle;
}

}  // namespace remuda::io
