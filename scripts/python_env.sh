#!/usr/bin/env bash
# Makes .venv, the Python environment of this checkout, with the package remuda and what its tests need in it.
# The native module is built in build/release, beside everything else. Quick when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
need_packages "$build_packages $python_packages"
[ -x .venv/bin/pip ] || python3 -m venv .venv || fail "python3 -m venv failed; is python3-venv installed?"
mkdir -p build

requirements=tests/python/requirements.txt
stamp=.venv/requirements-$(sha256sum $requirements | cut -c1-16)
if [ ! -f "$stamp" ]; then
  echo "Installing what $requirements lists into .venv" >&2
  .venv/bin/pip install --quiet --disable-pip-version-check -r $requirements >&2 ||
    fail "pip could not install what $requirements lists; is there a network?"
  touch "$stamp"
fi

# The environment's name, too: a build directory that was made for another one is configured anew.
sources=$(git ls-files -co --exclude-standard -- python src include cmake CMakeLists.txt pyproject.toml tools/layers.txt |
  LC_ALL=C sort | xargs -d '\n' cat | sha256sum | cut -c1-16)
[ "$(cat .venv/remuda-sources 2>/dev/null)" = "$sources" ] && exit 0
echo "Building the Python package" >&2
.venv/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall \
  -C build-dir=build/release -C cmake.define.REMUDA_BUILD_TESTS=ON -C cmake.define.REMUDA_BUILD_BENCHMARKS=ON . >&2 ||
  fail "pip could not build the package"
echo "$sources" >.venv/remuda-sources
