"""Writes tests/data/io/wheel.safetensors with the reference implementation, the Python package safetensors.

    python tools/make_safetensors_baselines.py        (needs torch and safetensors)

Element i of every tensor is i - 2, or i where the type has no sign, or "i is odd" for bool: the test knows the
values without reading them from anywhere.
"""
from pathlib import Path

import torch
from safetensors.torch import save_file

SIGNED = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8]


def main():
    tensors = {str(dtype).removeprefix("torch."): (torch.arange(6) - 2).to(dtype).reshape(2, 3) for dtype in SIGNED}
    tensors["uint8"] = torch.arange(6, dtype=torch.uint8).reshape(2, 3)
    tensors["bool"] = (torch.arange(6) % 2 == 1).reshape(2, 3)
    tensors["a scalar"] = torch.tensor(-2.0)
    tensors["empty"] = torch.zeros(3, 0, 2)
    tensors['quote " and ü'] = torch.tensor([-2.0, -1.0])
    path = Path(__file__).parent.parent / "tests/data/io/wheel.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"format": "pt"})
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
