#!/usr/bin/env bash
# Compares remuda's answers with the reference implementations, live:  parity.sh [--short]
# Tokenizers with Hugging Face's: real vocabularies, trained ones, and random combinations of all components, encoding
# and decoding. Model directories in the layouts that the libraries have written. Embeddings with sentence-transformers,
# on MiniLM and on random models. Summaries with transformers' `generate`, on random models and on those in
# pretrained/. Runs the tests of training/, which need the same packages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
texts=() count=500 documents=120 directories=()
if [ "${1:-}" = --short ]; then
  texts=(--random 10000 --real 5000 --code-point-step 11)
  count=100
  documents=40
  directories=(--short)
fi
bash scripts/peers_env.sh tests/parity/requirements.txt
bash scripts/fetch_model.sh
bash scripts/fetch_gpt2_vocabulary.sh
bash scripts/build.sh release remuda_cli remuda_text_test
export REMUDA_CACHE_DIR=$PWD/build/parity-cache  # Random models don't belong in a person's own cache.
python=.venv-peers/bin/python
$python tests/parity/make_tokenizers.py
for model in "${REMUDA_MODELS_DIR:-models}/all-MiniLM-L6-v2" build/tokenizers/*/; do
  $python tests/parity/tokenizer_parity.py --model "$model" "${texts[@]}"
done
cases=build/decode_cases.json
$python tests/parity/tokenizer_components_parity.py --count "$count" --decode "$cases" 2>build/tokenizer_components_parity.log ||
  { tail -40 build/tokenizer_components_parity.log; fail "a tokenizer differs; see build/tokenizer_components_parity.log"; }
REMUDA_DECODE_CASES=$cases build/release/remuda_text_test --gtest_filter='Decoding.*'
$python tests/parity/directory_parity.py "${directories[@]}"
$python tests/parity/embedding_parity.py
$python tests/parity/generation_parity.py --texts "$documents"
$python -B -m unittest discover -s tests/training
