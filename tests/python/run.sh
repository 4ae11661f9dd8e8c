#!/usr/bin/env bash
# Runs the Python package's tests in .venv, after having brought it up to date: in Python's development mode, with its checks of
# memory in the processes that tests start, too, and with nanobind's of what is left at the end. Arguments go to pytest.
# PRELOAD names libraries to load first; scripts/python_sanitized.sh has one.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash scripts/python_env.sh
said=build/python-tests.stderr
status=0
exec 3> >(tee $said >&2)
tee=$!
PYTHONMALLOC=${PYTHONMALLOC:-debug} LD_PRELOAD=${PRELOAD:-} .venv/bin/python -X dev -m pytest -q -o faulthandler_timeout=240 \
  "$@" 2>&3 || status=$?
exec 3>&-
wait $tee
if grep -q "^nanobind: leaked" $said; then
  echo "error: the native module has objects left at the end of the tests; see above" >&2
  status=1
fi
exit $status
