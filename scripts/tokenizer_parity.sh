#!/usr/bin/env bash
# Compares the tokenizers with Hugging Face's, live: real vocabularies, trained ones, and random combinations of all
# components, encoding and decoding.  tokenizer_parity.sh [RANDOM_TOKENIZERS]  (default 500)
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-500}
bash scripts/peers_env.sh tests/parity/requirements.txt
bash scripts/fetch_model.sh
bash scripts/fetch_gpt2_vocabulary.sh
bash scripts/build.sh release remuda_cli remuda_text_test
python=.venv-peers/bin/python
$python tests/parity/make_tokenizers.py
for model in "${REMUDA_MODELS_DIR:-models}/all-MiniLM-L6-v2" build/tokenizers/*/; do
  $python tests/parity/tokenizer_parity.py --model "$model"
done
cases=build/decode_cases.json
$python tests/parity/tokenizer_components_parity.py --count "$count" --decode "$cases" 2>build/tokenizer_components_parity.log
REMUDA_DECODE_CASES=$cases build/release/remuda_text_test --gtest_filter='Decoding.*'
