// Unicode's normalization forms: https://www.unicode.org/reports/tr15/.
#include <algorithm>
#include <unordered_map>

#include "text/normalizer.h"
#include "text/utf8.h"

namespace remuda::text {
namespace {

// Hangul syllables are computed: Unicode 15, section 3.12.
constexpr char32_t kSyllableBase = 0xAC00;
constexpr char32_t kLeadBase = 0x1100;
constexpr char32_t kVowelBase = 0x1161;
constexpr char32_t kTrailBase = 0x11A7;
constexpr char32_t kLeads = 19;
constexpr char32_t kVowels = 21;
constexpr char32_t kTrails = 28;
constexpr char32_t kSyllables = kLeads * kVowels * kTrails;

char32_t compose_hangul(char32_t first, char32_t second) {
  if (first - kLeadBase < kLeads && second - kVowelBase < kVowels) {
    return kSyllableBase + ((first - kLeadBase) * kVowels + (second - kVowelBase)) * kTrails;
  }
  const bool open = first - kSyllableBase < kSyllables && (first - kSyllableBase) % kTrails == 0;
  if (open && second > kTrailBase && second < kTrailBase + kTrails) return first + (second - kTrailBase);
  return 0;
}

// The primary composites, by their first and second part. Made of what the table calls composites, and not taken from
// utf8proc, whose version of Unicode may compose more.
class Compositions {
 public:
  static const Compositions& get() {
    static const Compositions compositions;
    return compositions;
  }

  // What two code points make together, or 0.
  char32_t find(char32_t first, char32_t second) const {
    if (const char32_t syllable = compose_hangul(first, second)) return syllable;
    const auto found = pairs_.find(key(first, second));
    return found == pairs_.end() ? 0 : found->second;
  }

 private:
  static uint64_t key(char32_t first, char32_t second) { return uint64_t{first} << 32 | second; }

  Compositions() {
    struct Composite {
      std::u32string parts;
      char32_t code_point;
    };
    const UnicodeTable& table = UnicodeTable::get();
    std::vector<Composite> composites;
    for (char32_t c = 0; c < 0x110000; ++c) {
      if (!table.has(c, kComposite)) continue;
      composites.push_back({{}, c});
      append_decomposition(composites.back().parts, c, kDecomposes, /*compatibility=*/false);
    }
    // Composites nest: the first part of one that decomposes into three is one that decomposes into two.
    std::sort(composites.begin(), composites.end(),
              [](const Composite& a, const Composite& b) { return a.parts.size() < b.parts.size(); });
    for (const auto& [parts, code_point] : composites) {
      char32_t first = parts[0];
      for (size_t i = 1; i + 1 < parts.size(); ++i) {
        if (const char32_t composed = find(first, parts[i])) first = composed;
      }
      pairs_.emplace(key(first, parts.back()), code_point);
    }
  }

  std::unordered_map<uint64_t, char32_t> pairs_;
};

// A starter and the nonstarters after it, in canonical order, composed and appended. A nonstarter is blocked from the
// starter by one of its own class that stays between them.
class Composer {
 public:
  explicit Composer(std::string& out) : out_(&out) {}

  void add(char32_t code_point, bool starter) {
    const int code_point_class = starter ? 0 : combining_class(code_point);
    const bool blocked = !rest_.empty() && (starter || last_class_ >= code_point_class);
    if (has_starter_ && !blocked) {
      if (const char32_t composed = Compositions::get().find(starter_, code_point)) {
        starter_ = composed;
        return;
      }
    }
    if (starter) {
      flush();
      starter_ = code_point;
      has_starter_ = true;
      return;
    }
    rest_.push_back(code_point);
    last_class_ = code_point_class;
  }

  void flush() {
    if (has_starter_) append_utf8(*out_, starter_);
    for (const char32_t code_point : rest_) append_utf8(*out_, code_point);
    rest_.clear();
    has_starter_ = false;
    last_class_ = 0;
  }

 private:
  std::string* out_;
  bool has_starter_ = false;
  char32_t starter_ = 0;
  std::u32string rest_;
  int last_class_ = 0;
};

}  // namespace

void UnicodeForm::normalize(std::string_view text, std::string& out) const {
  const UnicodeTable& table = UnicodeTable::get();
  Composer composer(out);
  const auto emit = [&](char32_t code_point, bool starter) {
    if (compose) {
      composer.add(code_point, starter);
    } else {
      append_utf8(out, code_point);
    }
  };
  std::u32string nonstarters;
  const auto emit_nonstarters = [&] {
    if (nonstarters.size() > 1) sort_nonstarters(nonstarters);
    for (const char32_t code_point : nonstarters) emit(code_point, false);
    nonstarters.clear();
  };
  std::u32string parts;
  for (size_t position = 0; position < text.size();) {
    const char32_t code_point = next_code_point(text, position);
    parts.clear();
    append_decomposition(parts, code_point, table[code_point], compatibility);
    for (const char32_t part : parts) {
      if (table.has(part, kNonstarter)) {
        nonstarters.push_back(part);
      } else {
        emit_nonstarters();
        emit(part, true);
      }
    }
  }
  emit_nonstarters();
  composer.flush();
}

}  // namespace remuda::text
