#!/usr/bin/env python3
"""Writes tests/data/classifier/: a tiny random classifier of transformers, and the logits that transformers computes for a
few chats with the tokenizer of tests/data/tiny-model.

Run with a Python that has transformers. tests/run/reward_model_test.cc holds the reward 'model' to it.
"""
import json
import pathlib

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

data = pathlib.Path(__file__).resolve().parent.parent / "tests/data"
folder = data / "classifier"
torch.manual_seed(5)
tokenizer = AutoTokenizer.from_pretrained(data / "tiny-model")
config = LlamaConfig(vocab_size=512, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
                     num_key_value_heads=1, max_position_embeddings=256, rms_norm_eps=1e-5, initializer_range=0.3,
                     rope_parameters={"rope_type": "default", "rope_theta": 100.0}, num_labels=3,
                     id2label={0: "harmless", 1: "cooking", 2: "nonsense"}, attn_implementation="eager")
model = LlamaForSequenceClassification(config).float().eval()
model.save_pretrained(folder)
chats = [["How do I make soup?", "Boil 2 cups of water."], ["Why?", "I cannot help with that."], ["Hello\nthere", "A wren is a bird."]]
rows = []
for prompt, response in chats:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    ids = tokenizer(tokenizer.apply_chat_template(messages, tokenize=False), add_special_tokens=False, return_tensors="pt").input_ids
    with torch.no_grad():
        rows.append({"prompt": prompt, "response": response, "ids": ids[0].tolist(), "logits": model(input_ids=ids).logits[0].tolist()})
(folder / "baseline.json").write_text("[" + ",\n".join(json.dumps(row) for row in rows) + "]\n")
