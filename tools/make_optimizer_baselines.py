#!/usr/bin/env python3
"""Writes tests/data/train/optimizer.json: weights after steps of torch.optim, for tests/train/optimizer_test.cc.

Run with a Python that has torch. Gradients are a fixed formula of step and index, so the file holds weights only.
"""
import json
import pathlib

import torch


def gradient(step, count):
    return torch.sin(torch.arange(count, dtype=torch.float32) * 0.7 + step * 1.3) * (1 + 0.1 * step)


def trajectory(make):
    weight = torch.linspace(-1, 1, 7).requires_grad_()
    optimizer = make([weight])
    states = []
    for step in range(5):
        weight.grad = gradient(step, 7)
        optimizer.step()
        states.append(weight.detach().tolist())
    return states


baselines = {
    "adamw": trajectory(lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)),
    "sgd": trajectory(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
    "torch": torch.__version__,
}
path = pathlib.Path(__file__).resolve().parent.parent / "tests/data/train/optimizer.json"
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(baselines, indent=1) + "\n")
