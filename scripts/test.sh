#!/usr/bin/env bash
# Builds the release preset and runs its tests. Arguments go to ctest, for example:  test.sh -R pool
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
need_packages "$build_packages"
bash scripts/fetch_model.sh
bash scripts/build.sh release
exec ctest --preset release --no-tests=error "$@"
