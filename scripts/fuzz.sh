#!/usr/bin/env bash
# Runs every fuzz target over its corpus and on from there:  fuzz.sh [SECONDS_EACH]  (default 60)
# What it finds new stays in build/fuzz/corpus; a crash leaves its input in build/fuzz and fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
seconds=${1:-60}
need_packages "$check_packages"
bash scripts/build.sh fuzz fuzzers
ran=0
for target in build/fuzz/fuzz/fuzz_*; do
  [ -x "$target" ] && [ -f "$target" ] || continue
  name=$(basename "$target")
  mkdir -p "build/fuzz/corpus/$name"
  echo "$name: $seconds s"
  "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/$name-" "build/fuzz/corpus/$name" "fuzz/corpus/${name#fuzz_}" >"build/fuzz/$name.log" 2>&1 ||
    { tail -40 "build/fuzz/$name.log"; fail "$name found something; see build/fuzz/$name.log"; }
  grep -E "number_of_executed_units|new_units_added" "build/fuzz/$name.log"
  ran=$((ran + 1))
done
[ "$ran" -gt 0 ] || fail "no fuzz target was built"
echo "$ran fuzz targets ran"
