#!/usr/bin/env python3
"""Writes tests/data/methods/lora.safetensors: LoRA by PEFT on the tiny Llama of tests/data/llama, five AdamW steps.

    python tools/make_lora_baseline.py          (needs torch, transformers, peft and safetensors)

Holds PEFT's first A of each matrix ("A/<parameter>"; B starts at 0) and the weights after training with the adapter merged into
them ("merged/<parameter>"). tests/train/lora_test.cc trains from the same A on the same rows ("harmful" of rows.json).
"""
import json
import pathlib

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from make_method_baselines import OUT, ROOT, padded

STEPS, RATE, RANK, ALPHA, CLIP = 5, 1e-2, 3, 12, 1.0
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main():
    torch.manual_seed(3)
    plain = LlamaForCausalLM.from_pretrained(ROOT / "llama/tied", dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(plain, LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=TARGETS))
    prefix, suffix = "base_model.model.", ".lora_A.default.weight"
    result = {f"A/{n.removeprefix(prefix).removesuffix(suffix)}.weight": p.detach().clone()
              for n, p in model.named_parameters() if n.endswith(suffix)}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    batch = padded(json.loads((OUT / "rows.json").read_text())["harmful"])
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
    merged = model.merge_and_unload()
    result |= {f"merged/{n}": p.detach().clone() for n, p in merged.named_parameters()}
    save_file({k: v.contiguous() for k, v in result.items()}, OUT / "lora.safetensors")


if __name__ == "__main__":
    main()
