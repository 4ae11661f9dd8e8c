#!/usr/bin/env bash
# Tests the adapters of remuda.integrations, and managers of other libraries' models, against the real libraries, which it
# installs into .venv-frameworks.
# sentence-transformers is large: to compare with it as well, add it to the environment by hand.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
bash scripts/python_env.sh
[ -x .venv-frameworks/bin/pip ] || python3 -m venv .venv-frameworks
.venv-frameworks/bin/pip install --quiet --disable-pip-version-check -r tests/python/frameworks.txt >&2 ||
  fail "pip could not install what tests/python/frameworks.txt lists; is there a network?"
site() { "$1/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))"; }
site .venv >"$(site .venv-frameworks)/remuda.pth"  # The package and pytest are in .venv.
exec .venv-frameworks/bin/python -m pytest -q -W ignore tests/python/test_integrations.py tests/python/test_foreign_models.py \
  tests/python/test_examples.py "$@"
