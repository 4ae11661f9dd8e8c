#!/usr/bin/env bash
# Runs the Python package's tests in .venv, after having brought it up to date. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash scripts/python_env.sh
exec .venv/bin/python -m pytest -q -o faulthandler_timeout=120 "$@"
