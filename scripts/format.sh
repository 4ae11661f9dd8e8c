#!/usr/bin/env bash
# Formats every C++ and CUDA file; with --check, only says which are not formatted.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
need_packages "$check_packages"
mode=-i
[ "${1:-}" = --check ] && mode="--dry-run --Werror"
# shellcheck disable=SC2086
git ls-files -z '*.cc' '*.h' '*.cu' '*.cuh' | xargs -0 clang-format-19 $mode
