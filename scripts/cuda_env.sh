#!/usr/bin/env bash
# Makes .cuda, a Python environment with NVIDIA's cuBLAS in it, of the version of the nvcc that is there: CMake finds its
# headers, and the CUDA backend the library. Quick when it has it. Half a gigabyte; without it, the backend says what it lacks.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
nvcc=${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
[ -x "$nvcc" ] || fail "there is no nvcc on the PATH; install NVIDIA's CUDA toolkit, 12.8 or later, or say where it is with CUDACXX"
major=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
case $major in
  12) package="nvidia-cublas-cu12" ;;
  *) package="nvidia-cublas==$major.*" ;;
esac
stamp=.cuda/$(echo "$package" | sha256sum | cut -c1-16)
[ -f "$stamp" ] && exit 0
need_packages "python3:python3 python3-venv:"
echo "Installing $package into .cuda" >&2
[ -x .cuda/bin/pip ] || python3 -m venv .cuda
.cuda/bin/pip install --quiet --no-deps --disable-pip-version-check "$package" >&2 ||
  fail "pip could not install $package; is there a network?"
touch "$stamp"
