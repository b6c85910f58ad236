"""Compares what `caltrop import FILE.gguf FOLDER` wrote with transformers' own reading of the GGUF file.

    python tools/compare_gguf_import.py FILE.gguf FOLDER        (needs torch, transformers, gguf and safetensors)

All tensors and the logits of forty tokens must be equal bit for bit; exit 1 otherwise.
"""
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM


def main(gguf, folder):
    theirs = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    expected = theirs.state_dict()
    problems, count = [], 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                count += 1
                tensor = file.get_tensor(name)
                if name not in expected:
                    problems.append(f"{name}: transformers does not have it")
                elif tensor.dtype != torch.float32 or tensor.shape != expected.pop(name).shape:
                    problems.append(f"{name}: is {tensor.dtype} {tuple(tensor.shape)}")
                elif not torch.equal(tensor.view(torch.int32), theirs.state_dict()[name].view(torch.int32)):
                    problems.append(f"{name}: values differ")
    if theirs.config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
    problems += [f"{name}: missing" for name in expected]

    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.arange(40)[None] * 7 % theirs.config.vocab_size
    with torch.no_grad():
        if not torch.equal(ours(ids).logits, theirs(ids).logits):
            problems.append("the logits differ")
    print("\n".join(problems) or f"{count} tensors and the logits are equal bit for bit")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
