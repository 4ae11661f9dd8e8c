#!/usr/bin/env bash
# Builds the release preset and the Python package, and runs their tests. Arguments go to ctest, for example:  test.sh -R pool
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
need_packages "$build_packages $python_packages"
bash scripts/fetch_model.sh
bash scripts/python_env.sh
bash scripts/build.sh release
exec ctest --preset release --no-tests=error "$@"
