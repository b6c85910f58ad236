#!/usr/bin/env bash
# Holds Caltrop to the reference implementations: tokens, templates, imported weights, logits and gradients. `./run test peers`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv-peers/bin/python
model=.cache/models/SmolLM2-135M-Instruct
gguf=$(compgen -G '.cache/models/*.gguf' || true)
if [ -z "$gguf" ] || [ ! -e "$model/config.json" ]; then
  echo "peers.sh: no model yet; ./run demo fetches it" >&2
  exit 1
fi
"$python" tools/compare_gguf_import.py "$gguf" "$model"
"$python" tools/compare_logits.py build/compare_logits "$model"
"$python" tools/compare_tokenizers.py --program build/caltrop
if [ -e tools/compare_templates.py ]; then "$python" tools/compare_templates.py build/caltrop "$model"; fi
