#!/usr/bin/env bash
# Runs tests/python with the native module under the address and undefined-behaviour sanitizers. Arguments go to pytest.
# The engine is that of the preset asan-ubsan: where that is built, this builds the module alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
need_packages "$build_packages $python_packages $check_packages"
bash scripts/fetch_model.sh
bash scripts/python_env.sh  # Before PYTHONPATH says something else.
build=build/asan-ubsan
cmake --preset asan-ubsan -DREMUDA_PYTHON=ON -DPython_EXECUTABLE="$PWD/.venv/bin/python" >/dev/null ||
  fail "cmake --preset asan-ubsan failed"
cmake --build --preset asan-ubsan --target remuda_native
cp -r python/remuda $build/python/

# Python isn't built with the sanitizer, so its runtime must be there first; and with it the C++ library, whose exceptions it
# watches. Python's own allocator would hide its objects from it.
runtime=$(clang++-19 -print-file-name=libclang_rt.asan-x86_64.so)
[ -f "$runtime" ] || runtime=$(clang++-19 -print-file-name=libclang_rt.asan.so)
[ -f "$runtime" ] || fail "clang++-19 has no shared runtime of the address sanitizer"
export PYTHONPATH=$PWD/$build/python PYTHONMALLOC=malloc
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1
PRELOAD="$runtime $(clang++-19 -print-file-name=libstdc++.so.6)"
LD_PRELOAD=$PRELOAD .venv/bin/python -c "
import remuda
assert '$build' in remuda._native.__file__, remuda._native.__file__
assert '__asan_init' in open(remuda._native.__file__, 'rb').read().decode('latin-1')" ||
  fail "the sanitized module is not the one that Python takes"
PRELOAD=$PRELOAD exec bash tests/python/run.sh -m "not unsanitized" "$@"
