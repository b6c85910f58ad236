#!/usr/bin/env python3
"""Writes tests/data/methods/: what the official code of published defences computes, on the tiny Llama of tests/data/llama.

    python tools/make_method_baselines.py          (needs torch, transformers and safetensors)

Each function below follows the computation of the method's official repository, in the order and with the constants that it
has there, in fp32, on padded batches. Two things are ours: losses are over the answer's tokens, where the repositories mask
by comparing token ids or train on prompts and padding, and weights that would hide a term are larger (SEAM, RepNoise).
tests/defences/official_test.cc holds our methods to it.
"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests/data"
OUT = ROOT / "methods"
COLLAPSE_TOKEN = 5


def make_rows(generator):
    """Four rows: a prompt of three tokens that all share, an answer of four to eight."""
    rows = []
    for _ in range(4):
        length = int(torch.randint(4, 9, (1,), generator=generator))
        answer = torch.randint(0, 67, (length,), generator=generator).tolist()
        rows.append({"ids": [7, 8, 9] + answer, "answer": [False] * 3 + [True] * length})
    return rows


def padded(rows):
    longest = max(len(row["ids"]) for row in rows)
    ids = torch.tensor([row["ids"] + [0] * (longest - len(row["ids"])) for row in rows])
    mask = torch.tensor([[1] * len(row["ids"]) + [0] * (longest - len(row["ids"])) for row in rows])
    said = torch.tensor([row["answer"] + [False] * (longest - len(row["answer"])) for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(said, ids, -100)}


def parameters(model):
    return [p for _, p in model.named_parameters()]


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in parameters(model)]


def norm(vectors):
    return torch.sqrt(sum((v.double() ** 2).sum() for v in vectors)).float()


def step(model, vectors, scale):
    with torch.no_grad():
        for p, v in zip(parameters(model), vectors):
            p.add_(v, alpha=float(scale))


def restore(model, saved):
    with torch.no_grad():
        for p, s in zip(parameters(model), saved):
            p.copy_(s)


def save(model):
    return [p.detach().clone() for p in parameters(model)]


def total(*terms):
    return [sum(weight * part[i] for weight, part in terms) for i in range(len(terms[0][1]))]


def cross_entropy(model, batch):
    return model(**batch).loss  # mean over all labelled tokens of the batch


def ctrap(model, harmful, refusals, general, alpha=0.1, lam=0.1):
    """clearloveclearlove/CTRAP, trainer.py: normalised look-ahead, retain = refusals and helpful answers in one batch."""
    saved = save(model)
    attack = gradients(model, cross_entropy(model, padded(harmful)))
    step(model, attack, -alpha / (norm(attack) + 1e-7))
    retain = padded(refusals + general)
    collapse = dict(retain, labels=torch.where(retain["labels"] >= 0, COLLAPSE_TOKEN, -100))
    trap = gradients(model, cross_entropy(model, collapse))
    restore(model, saved)
    return total((1, gradients(model, cross_entropy(model, retain))), (lam, trap))


def booster(model, harmful, refusals, general, alpha=0.1, lam=5.0):
    """git-disl/Booster, trainer.py."""
    saved = save(model)
    harm = gradients(model, cross_entropy(model, padded(harmful)))
    step(model, harm, -alpha / (norm(harm) + 1e-7))
    perturbed = gradients(model, cross_entropy(model, padded(harmful)))
    restore(model, saved)
    return total((1, gradients(model, cross_entropy(model, padded(refusals)))), (lam, harm), (-lam, perturbed))


def vaccine(model, harmful, refusals, general, rho=2.0):
    """git-disl/Vaccine, trainer.py: the gradient in the outputs of the self-attention modules, scaled to rho, added there."""
    batch, seen, handles = padded(refusals), {}, []
    for layer in model.model.layers:
        def keep(module, inputs, output):
            seen[module] = output[0]
            output[0].retain_grad()
        handles.append(layer.self_attn.register_forward_hook(keep))
    model.zero_grad()
    cross_entropy(model, batch).backward()
    [handle.remove() for handle in handles]
    size = torch.sqrt(sum((h.grad ** 2).sum() for h in seen.values())) + 1e-7
    drift = {module: rho * h.grad / size for module, h in seen.items()}
    handles = [module.register_forward_hook(lambda m, i, o: (o[0] + drift[m],) + tuple(o[1:])) for module in drift]
    result = gradients(model, cross_entropy(model, batch))
    [handle.remove() for handle in handles]
    return result


def layerwise(model, batch):
    """SEAM and RepNoise: cross-entropy read from every hidden state; ours norms the last one once."""
    out = model(**batch, output_hidden_states=True)
    labels = batch["labels"][:, 1:].reshape(-1)
    states = out.hidden_states
    losses = []
    for i, h in enumerate(states):
        h = h if i == len(states) - 1 else model.model.norm(h)
        losses.append(F.cross_entropy(model.lm_head(h)[:, :-1].reshape(-1, model.config.vocab_size), labels, ignore_index=-100))
    return sum(losses) / len(losses)


def seam(model, harmful, refusals, general, alpha=1.0, beta=1.0, eps=1e-3):
    """ZJUWYH/seam, src/core/trainer.py; beta is 0.01 there, at which the coupling is one part in a hundred of the gradient."""
    saved = save(model)
    h, b = padded(harmful), padded(general)
    ul = gradients(model, -torch.log(1 + layerwise(model, h)))
    up = gradients(model, cross_entropy(model, padded(refusals)))
    ga, gb = gradients(model, cross_entropy(model, h)), gradients(model, cross_entropy(model, b))
    na, nb = norm(ga), norm(gb)
    c = sum((x.double() * y.double()).sum() for x, y in zip(ga, gb)).float() / (na * nb)
    step(model, [y / nb - c * x / na for x, y in zip(ga, gb)], eps)
    ga1 = gradients(model, cross_entropy(model, h))
    restore(model, saved)
    step(model, [x / na - c * y / nb for x, y in zip(ga, gb)], eps)
    gb1 = gradients(model, cross_entropy(model, b))
    restore(model, saved)
    return total((1, ul), (alpha, up), (beta / eps / na, ga1), (-beta / eps / na, ga), (beta / eps / nb, gb1), (-beta / eps / nb, gb))


def sequence_nll(model, batch):
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    labels = batch["labels"][:, 1:]
    nll = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
    return nll.sum(1), (labels >= 0).sum(1)


def npo(model, harmful, refusals, general, beta=0.1):
    """licong-lin/negative-preference-optimization and open-unlearning; the reference is the model before it was moved by 1 %."""
    batch = padded(harmful)
    with torch.no_grad():
        reference, _ = sequence_nll(model, batch)
        for p in parameters(model):
            p.mul_(1.01)
    nll, _ = sequence_nll(model, batch)
    return gradients(model, -F.logsigmoid(beta * (nll - reference)).mean() * 2 / beta)


def npo_ctrap(model, harmful, refusals, general):
    """The baseline in clearloveclearlove/CTRAP: CE(align) + 0.3 NPO, length-normalised, beta 1."""
    batch = padded(harmful)
    with torch.no_grad():
        reference, count = sequence_nll(model, batch)
        for p in parameters(model):
            p.mul_(1.01)
    nll, _ = sequence_nll(model, batch)
    unlearn = -F.logsigmoid((nll - reference) / count).mean()
    return gradients(model, cross_entropy(model, padded(refusals)) + 0.3 * unlearn)


def mmd(x, y):
    """domenicrosati/representation-noising, representation_noising/loss.py."""
    samples = int(x.size(0)) + int(y.size(0))
    both = torch.cat([x, y])
    squares = ((both.unsqueeze(0) - both.unsqueeze(1)) ** 2).sum(2)
    bandwidth = squares.data.sum() / (samples ** 2 - samples) / 2.0 ** 2
    kernels = sum(torch.exp(-squares / (bandwidth * 2.0 ** i)) for i in range(5))
    n = x.size(0)
    return torch.mean(kernels[:n, :n] + kernels[n:, n:] - kernels[:n, n:] - kernels[n:, :n])


def drawn_by_caltrop(name, rows, width):
    """What caltrop/base/random.h gives as the first normals of the stream of this name, seed 0: the method draws its own noise."""
    cut, golden = 2 ** 64 - 1, 0x9E3779B97F4A7C15

    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & cut
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & cut
        return z ^ (z >> 31)

    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) & cut
    key = mix(mix(golden) ^ key)
    uniform = lambda i: (mix((key + golden * i) & cut) >> 11) * 2.0 ** -53
    normal = lambda i: math.sqrt(-2 * math.log(1 - uniform(2 * i + 1))) * math.cos(2 * math.pi * uniform(2 * i + 2))
    return torch.tensor([normal(i) for i in range(rows * width)]).view(rows, width)


def repnoise(model, harmful, refusals, general, beta=1.0, alpha=1.0):
    """domenicrosati/representation-noising, loss.py; beta is 0.001 there, at which the noise hardly shows in the gradient. Hidden
    states are read where an answer token is predicted, one position before it."""
    batch, outputs, handles = padded(harmful), [], []
    for layer in model.model.layers:
        handles.append(layer.mlp.register_forward_hook(lambda m, i, o: outputs.append(o)))
    layers = layerwise(model, batch)
    [handle.remove() for handle in handles]
    predicts = torch.zeros_like(batch["labels"], dtype=torch.bool)
    predicts[:, :-1] = batch["labels"][:, 1:] >= 0
    discrepancy = 0
    for layer, output in enumerate(outputs):
        m = predicts.unsqueeze(-1).float()
        noise = torch.zeros_like(output)
        noise[predicts] = drawn_by_caltrop(f"noise of layer {layer} for micro-batch 0 at step 0", int(predicts.sum()), output.size(2))
        discrepancy = discrepancy + mmd((output * m).flatten(1), noise.flatten(1)) / len(outputs)
    harmless = cross_entropy(model, padded(refusals))
    return gradients(model, harmless + beta * discrepancy - alpha * torch.log(1 + layers))


def main():
    OUT.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(11)
    rows = {stream: make_rows(generator) for stream in ("harmful", "refusals", "general")}
    (OUT / "rows.json").write_text(json.dumps(rows))
    load = lambda: LlamaForCausalLM.from_pretrained(ROOT / "llama/tied", dtype=torch.float32, attn_implementation="eager")
    names = [name for name, _ in load().named_parameters()]
    result = {}
    for method in (ctrap, booster, vaccine, seam, npo, npo_ctrap, repnoise):
        result |= {f"{method.__name__}/{n}": g for n, g in zip(names, method(load(), **rows))}
    assert all(math.isfinite(t.sum()) for t in result.values())
    save_file({k: v.contiguous().clone() for k, v in result.items()}, OUT / "official.safetensors")


if __name__ == "__main__":
    main()
