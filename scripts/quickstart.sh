#!/usr/bin/env bash
# From a fresh clone to real embeddings: installs what is missing, gets the model, builds, and runs the demo.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
need_packages "$build_packages $python_packages"
bash scripts/fetch_model.sh
bash scripts/build.sh release remuda_cli
build/release/remuda demo
