#include "kernels/isa.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "base/fail.h"

namespace remuda::kernels {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"generic", "avx2", "avx512", "avx512_vnni", "avx512_bf16"};

#if defined(__x86_64__)
// Whether the machine has what `isa` adds to the one before it, and the operating system saves its registers.
bool has_extension(Isa isa) {
  switch (isa) {
    case Isa::kGeneric:
      return true;
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case Isa::kAvx512Vnni:
      return __builtin_cpu_supports("avx512vnni");
    case Isa::kAvx512Bf16:
      return __builtin_cpu_supports("avx512bf16");
  }
  return false;
}
#else
bool has_extension(Isa isa) { return isa == Isa::kGeneric; }
#endif

}  // namespace

std::string_view to_string(Isa isa) { return kNames[static_cast<size_t>(isa)]; }

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vnni, Isa::kAvx512Bf16}) {
    if (!has_extension(isa)) break;
    isas.push_back(isa);
  }
  return isas;
}

Isa choose_isa(const char* wanted, const std::vector<Isa>& available) {
  if (wanted == nullptr || *wanted == '\0') return available.back();
  std::string names;
  for (const Isa isa : available) {
    if (to_string(isa) == wanted) return isa;
    names.append(names.empty() ? "" : ", ").append(to_string(isa));
  }
  const bool known = std::ranges::find(kNames, std::string_view(wanted)) != kNames.end();
  fail(ErrorCode::kInvalidArgument, "REMUDA_ISA: expected one of {}, found \"{}\"{}", names, wanted,
       known ? ", which this machine lacks" : "");
}

Isa active_isa() {
  static const Isa isa = choose_isa(std::getenv("REMUDA_ISA"), available_isas());
  return isa;
}

}  // namespace remuda::kernels
