#!/usr/bin/env bash
# Installs a build into an empty prefix, builds the consumer project against it, and runs both programs.
#   run.sh BUILD_DIRECTORY
set -euo pipefail
build=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$build" --prefix "$scratch/prefix" >/dev/null
cmake -S "$here" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$scratch/prefix" >/dev/null
cmake --build "$scratch/build" >/dev/null
export REMUDA_MODELS_DIR=${REMUDA_MODELS_DIR:-$here/../../models}
REMUDA_SUMMARIZATION_MODEL=$scratch/prefix/share/remuda/models/bart-small-synopsis "$scratch/build/consumer" |
  tee "$scratch/out"
grep -q "^text 2: " "$scratch/out"
grep -q "^summary: ." "$scratch/out"
"$scratch/prefix/bin/remuda" --version
# And the CUDA backend, where there is one.
if [ -f "$scratch/prefix/lib/remuda/libremuda_cuda.so" ]; then
  "$scratch/prefix/bin/remuda" devices --json >"$scratch/devices"
  if grep -q "libremuda_cuda.so" "$scratch/devices"; then cat "$scratch/devices" >&2 && exit 1; fi
fi
# The installed program finds the installed model by itself.
(cd "$scratch" && "$scratch/prefix/bin/remuda" summarize "$here/main.cc" >summaries)
grep -q '"summary"' "$scratch/summaries"
