#!/usr/bin/env bash
# Makes .venv-peers, the Python environment of the peers:  peers_env.sh REQUIREMENTS_FILE
# Quick when it has what the file lists.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
requirements=${1:?usage: peers_env.sh REQUIREMENTS_FILE}
stamp=.venv-peers/$(cat "$requirements" tests/parity/requirements.txt | sha256sum | cut -c1-16)
[ -f "$stamp" ] && exit 0
need_packages "$build_packages"
echo "Installing the peers that $requirements lists into .venv-peers" >&2
[ -x .venv-peers/bin/pip ] || python3 -m venv .venv-peers
.venv-peers/bin/pip install --quiet --disable-pip-version-check -r "$requirements" >&2 ||
  fail "pip could not install what $requirements lists"
touch "$stamp"
