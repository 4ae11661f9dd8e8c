#!/usr/bin/env bash
# Builds a preset (default: release), all of it or the named targets:  build.sh [PRESET [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
preset=${1:-release}
[ $# -gt 0 ] && shift
need_packages "$build_packages"
[ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" >/dev/null || fail "cmake --preset $preset failed"
cmake --build --preset "$preset" ${1:+--target "$@"}
