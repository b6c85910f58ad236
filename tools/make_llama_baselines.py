#!/usr/bin/env python3
"""Writes tests/data/llama/: a tiny random Llama of transformers with the logits, loss and gradients that transformers computes.

Run with a Python that has transformers. tests/model/llama_test.cc holds our forward and backward passes to it.
"""
import pathlib

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

folder = pathlib.Path(__file__).resolve().parent.parent / "tests/data/llama"
for name, tied in (("tied", True), ("untied", False)):
    torch.manual_seed(3)
    config = LlamaConfig(vocab_size=67, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=tied,
                         rope_parameters={"rope_type": "default", "rope_theta": 100.0}, initializer_range=0.3,
                         attn_implementation="eager")
    model = LlamaForCausalLM(config).float()
    model.save_pretrained(folder / name)
    (folder / name / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(0, 67, (3, 11))
    out = model(input_ids=ids, labels=ids)
    out.loss.backward()
    baseline = {"ids": ids, "logits": out.logits.detach(), "loss": out.loss.detach().reshape(1)}
    baseline |= {"grad." + n: p.grad for n, p in model.named_parameters()}
    save_file({k: v.contiguous().clone() for k, v in baseline.items()}, folder / f"{name}.safetensors")
