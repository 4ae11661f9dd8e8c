#!/usr/bin/env bash
# Compares remuda's answers with the reference implementations, live, on the same texts:  parity.sh [--short]
# Token ids with Hugging Face tokenizers, embeddings with sentence-transformers.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
ids=() components=()
[ "${1:-}" = --short ] && ids=(--random 20000 --real 10000 --code-point-step 7) components=(--count 100)
bash scripts/fetch_model.sh
bash scripts/build.sh release remuda_cli
bash scripts/peers_env.sh tests/parity/requirements.txt
python=.venv-peers/bin/python
$python tests/parity/tokenizer_parity.py "${ids[@]}"
$python tests/parity/tokenizer_components_parity.py "${components[@]}"
$python tests/parity/embedding_parity.py
