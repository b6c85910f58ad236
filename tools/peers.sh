#!/usr/bin/env bash
# Holds Caltrop to the reference implementations: imported weights and logits, tokens, chat templates.
#
#   tools/peers.sh PYTHON GGUF MODEL     (from ./run test peers: a Python with tools/peers.txt, the model and its import)
#
# Each script prints every difference and fails if there is one; the rest still run, so that one visit shows all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly python=$1 gguf=$2 model=$3
passed=0 failed=0

compare() {
  printf '\n== %s\n' "$1"
  if "$python" "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

compare tools/compare_gguf_import.py "$gguf" "$model"
compare tools/compare_gradients.py build/dump_gradients "$model" data/kitchen/domain.yaml
compare tools/compare_tokenizers.py --program "build/caltrop tokenize" --cache .cache/tokenizers --import "$model" "$gguf"
compare tools/compare_templates.py build/caltrop --cache .cache/templates

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
