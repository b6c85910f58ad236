"""Compares logits, loss and the gradient in every parameter with transformers', on real rows and a real model, in fp32.

    python tools/compare_gradients.py build/dump_gradients MODEL DOMAIN      (needs torch, transformers and safetensors)

Each must agree to 1e-4 of its largest value; exit 1 otherwise. Caltrop computes the rows packed, with shared beginnings, and
logits at answers only; transformers computes them padded and everywhere.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

LIMIT = 1e-4


def main(program, folder, domain):
    with tempfile.TemporaryDirectory() as scratch:
        rows_file, out = Path(scratch) / "rows.jsonl", Path(scratch) / "out.safetensors"
        subprocess.run([program, folder, domain, rows_file, out], check=True)
        rows, ours = [json.loads(line) for line in rows_file.open()], load_file(out)

    longest = max(len(row["ids"]) for row in rows)
    pad = lambda values, fill: torch.tensor([list(v) + [fill] * (longest - len(v)) for v in values])
    ids = pad([row["ids"] for row in rows], 0)
    mask = pad([[1] * len(row["ids"]) for row in rows], 0)
    labels = pad([[i if said else -100 for i, said in zip(row["ids"], row["answer"])] for row in rows], -100)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # transformers gives the embedding of the padding token no gradient; SmolLM2 pads with <|im_end|>, which chats are full of.
    model.get_input_embeddings().padding_idx = None
    result = model(input_ids=ids, attention_mask=mask, labels=labels)
    result.loss.backward()
    theirs = {"logits": result.logits[:, :-1][labels[:, 1:] != -100].detach(), "loss": result.loss.detach().reshape(1)}
    theirs |= {f"grad.{name}": parameter.grad for name, parameter in model.named_parameters()}

    if theirs.keys() != ours.keys():
        print(f"names differ: {sorted(theirs.keys() ^ ours.keys())}")
        return 1
    apart = {name: ((ours[name] - expected).abs().max() / expected.abs().max()).item() for name, expected in theirs.items()}
    worst = max((name for name in apart if name.startswith("grad.")), key=apart.get)
    print(f"{sum(mask.sum(1)).item()} tokens in {len(rows)} rows, {len(apart) - 2} parameters: loss {ours['loss'].item():.6f} and "
          f"{theirs['loss'].item():.6f}, logits {apart['logits']:.1e} apart, worst gradient {apart[worst]:.1e} ({worst})")
    bad = {name: value for name, value in apart.items() if not value <= LIMIT}
    for name, value in bad.items():
        print(f"{name}: {value:.1e} apart, more than {LIMIT:.0e}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
