#!/usr/bin/env bash
# All that needs a GPU, on a machine with nvcc and PyTorch and no network: builds the CUDA backend, runs every kernel
# against its definition, plain and under compute-sanitizer, compares whole models with PyTorch, transformers and the CPU
# engine, measures, and has another process take and free memory. Writes a table, and all figures to
# DIRECTORY/gpu_check.json. At most 8 minutes on 16 cores.
#
#   bash scripts/gpu_check.sh [DIRECTORY]     DIRECTORY: build/gpu
#
# Of the tree it needs src, include, scripts, bench, tests/parity and tests/golden/encoders/bert_mean, three megabytes, and
# the wheel.
#
# remuda itself is an installed Python package, or a wheel in dist/ (scripts/wheel.sh). Exits with 0 where all
# holds, 1 where something does not or could not be tried, 77 where there is no GPU, on which nothing was tried.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/gpu}
python=${PYTHON:-python3}
nvcc=${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
jobs=$(nproc)
mkdir -p "$out/objects"
rm -f "$out"/*.json
started=$SECONDS
step() { printf '\n== %s (%s s so far)\n' "$1" "$((SECONDS - started))"; }

step "build"
[ -x "$nvcc" ] || { echo "error: there is no nvcc; say where it is with CUDACXX" >&2; exit 1; }
# cuBLASLt's header and library: of PyTorch's Python packages, of scripts/cuda_env.sh, or of the toolkit.
cublas=$("$python" - <<'PYTHON'
import glob, pathlib, sys
places = [f"{path}/nvidia/cu*" for path in [*sys.path, ".cuda/lib/python3*/site-packages"]] + ["/usr/local/cuda"]
found = [place for pattern in places for place in glob.glob(pattern) if pathlib.Path(place, "include/cublasLt.h").is_file()]
print(found[0] if found else "")
PYTHON
)
[ -n "$cublas" ] || { echo "error: cublasLt.h was not found; install the Python package nvidia-cublas" >&2; exit 1; }
export LD_LIBRARY_PATH="$cublas/lib:$cublas/lib64:${LD_LIBRARY_PATH:-}"
cuda_include=$(dirname "$(dirname "$(readlink -f "$nvcc")")")/include
[ -f "$cuda_include/cuda.h" ] || cuda_include=/usr/local/cuda/include
flags="-std=c++20 -O3 -Isrc -Iinclude -I$cublas/include -I$cuda_include"
export nvcc flags out
compile() {
  local object
  object=$out/objects/$(echo "$1" | tr / _).o
  case $1 in
    *.cu) "$nvcc" $flags -Xcompiler=-fPIC,-fvisibility=hidden -gencode=arch=compute_80,code=sm_80 \
          -gencode=arch=compute_90,code=[sm_90,compute_90] -c "$1" -o "$object" ;;
    *) "${CXX:-g++}" $flags -fPIC -fvisibility=hidden -c "$1" -o "$object" ;;
  esac || { echo "error: $1 was not compiled" >&2; exit 255; }
}
export -f compile
library=$(ls src/*/cuda/*.cc src/*/cuda/*.cu | grep -v -e '_test\.cc$' -e '_absent\.cc$')
check=src/kernels/cuda/testing/gpu_check.cc
printf '%s\n' $library $check | xargs -P "$jobs" -I{} bash -c 'compile {}' || exit 1
objects=$(for source in $library; do echo "$out/objects/$(echo "$source" | tr / _).o"; done)
# shellcheck disable=SC2086
"$nvcc" -shared -cudart static -o "$out/libremuda_cuda.so" $objects -ldl -lrt -lpthread || exit 1
# shellcheck disable=SC2086
"$nvcc" -cudart static -o "$out/remuda_cuda_check" "$out/objects/$(echo $check | tr / _).o" $objects -ldl -lrt -lpthread ||
  exit 1

failed=""
most_seconds=470  # Of all steps together.
run() {  # NAME SECONDS COMMAND...: for so long at most, and no longer than there is time.
  local name=$1 limit=$2 status left=$((most_seconds - SECONDS + started))
  shift 2
  step "$name"
  [ "$limit" -le "$left" ] || limit=$left
  [ "$limit" -gt 0 ] || { failed="$failed
  $name: not tried, since the time was up"; return; }
  timeout "$limit" "$@"
  status=$?
  [ $status = 77 ] && exit 77
  [ $status = 0 ] || failed="$failed
  $name: exit status $status"
}
run "kernels" 60 "$out/remuda_cuda_check" --json "$out/kernels.json"
step "compute-sanitizer"
sanitizer=$(command -v compute-sanitizer || echo "$(dirname "$(readlink -f "$nvcc")")/compute-sanitizer")
tools="memcheck racecheck synccheck initcheck"
if [ -x "$sanitizer" ]; then
  # Side by side: each takes one core, and little of the GPU.
  for tool in $tools; do
    (timeout 95 "$sanitizer" --tool $tool --error-exitcode 3 "$out/remuda_cuda_check" --quick --no-products \
       >"$out/$tool.log" 2>&1; echo $? >"$out/$tool.status") &
  done
  wait
  for tool in $tools; do
    printf -- '-- %s\n' "$tool"
    tail -n 25 "$out/$tool.log"
    [ "$(cat "$out/$tool.status")" = 0 ] || failed="$failed
  $tool: exit status $(cat "$out/$tool.status")"
  done
else
  failed="$failed
  compute-sanitizer: not tried, since it is not there"
fi
if ! "$python" -c "import remuda" 2>/dev/null && ls dist/*.whl >/dev/null 2>&1; then
  "$python" -m pip install -q --no-index --no-deps --find-links dist --target "$out/site" --upgrade remuda &&
    export PYTHONPATH="$out/site:${PYTHONPATH:-}"
fi
REMUDA_CUDA_LIBRARY=$(realpath "$out/libremuda_cuda.so")
export REMUDA_CUDA_LIBRARY
run "answers" 60 "$python" bench/gpu.py --library "$out/libremuda_cuda.so" --only parity --json "$out/answers.json"
run "ids of summaries" 60 "$python" bench/gpu_bart.py --only parity --json "$out/ids.json"
run "speed" 90 "$python" bench/gpu.py --library "$out/libremuda_cuda.so" --only speed --json "$out/speed.json"
run "speed of summaries" 120 "$python" bench/gpu_bart.py --only speed --json "$out/summaries.json"
run "memory" 150 "$python" bench/gpu_memory.py --json "$out/memory.json"

step "done"
"$python" - "$out" "$failed" <<'PYTHON'
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
files = sorted(out.glob("*.json"), key=lambda file: file.stat().st_mtime)
parts = {file.stem: json.loads(file.read_text()) for file in files}
rows = [(check["name"], f'{check["compared"]} compared', check["passed"]) for check in parts.get("kernels", {}).get("checks", [])]
rows += [(row["what"], f'{row["value"]} ({row["limit"]})', row["holds"])
         for name, part in parts.items() if name != "kernels" for row in part["checks"]]
for what, value, holds in rows:
    print(f"{what:60} {value:>28}  {'ok' if holds else 'not tried' if holds is None else 'NOT GOOD'}")
failed = [line.strip() for line in sys.argv[2].splitlines() if line.strip()]
(out / "gpu_check.json").write_text(json.dumps({"failed": failed, **parts}, indent=1) + "\n")
PYTHON
if [ -n "$failed" ]; then
  echo "not all holds:$failed"
  exit 1
fi
