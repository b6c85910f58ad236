#!/usr/bin/env python3
"""Writes tests/data/methods/policy.json: advantages and losses as verl and TRL compute them, on fixed tensors.

    python tools/make_policy_baselines.py          (needs torch, verl 0.9.1 and trl 1.16.0 with what they import)

Calls the packages' own functions: verl.trainer.ppo.core_algos, and the loss of TRL's GRPOTrainer with its forward pass replaced by
the fixed log-probabilities. Responses have different lengths; what is padding here does not exist in Caltrop.
tests/train/advantages_test.cc and tests/loss/policy_test.cc hold ours to the numbers.
"""
import collections
import json
import pathlib
from types import SimpleNamespace

import numpy as np
import torch
from trl import GRPOTrainer
from verl.trainer.ppo import core_algos
from verl.workers.config import ActorConfig

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/data/methods/policy.json"
LENGTHS = [5, 2, 4, 1, 6, 3, 2, 5]
GROUPS = [0, 0, 0, 1, 1, 1, 2, 2]  # the responses of the last group are tied
REWARDS = [0.2, 0.9, 0.4, 1.0, 0.0, 0.5, 0.7, 0.7]
GAMMA, LAMBDA, CLIP, DUAL_CLIP, VALUE_RANGE, BETA = 0.95, 0.9, 0.2, 3.0, 0.5, 0.04


def rows(tensor):
    return [row[:length].tolist() for row, length in zip(tensor.double(), LENGTHS)]


def trl_loss(log_p, old, reference, advantages, mask):
    """GRPOTrainer._compute_loss with a mean over tokens ("bnpo"), of fixed log-probabilities."""
    identity = lambda x, **_: x
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (log_p, torch.zeros_like(log_p), None),
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False), accelerator=SimpleNamespace(gather=identity, reduce=identity),
        model=SimpleNamespace(training=True), _metrics={"train": collections.defaultdict(list)}, loss_type="bnpo", beta=BETA,
        epsilon_low=CLIP, epsilon_high=CLIP, importance_sampling_level="token", top_entropy_quantile=1.0, aux_loss_enabled=False,
        off_policy_mask_threshold=None, use_vllm=False, current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False)
    ids = torch.zeros_like(mask, dtype=torch.long)
    return GRPOTrainer._compute_loss(trainer, None, {
        "prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1] + 1, "completion_ids": ids, "completion_mask": mask,
        "advantages": advantages, "old_per_token_logps": old, "ref_per_token_logps": reference})


def main():
    generator = torch.Generator().manual_seed(5)
    shape = (len(LENGTHS), max(LENGTHS))
    normal = lambda: torch.randn(shape, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[1.0] * n + [0.0] * (shape[1] - n) for n in LENGTHS], dtype=torch.float64)
    token_rewards = 0.1 * normal() * mask
    for row, (length, reward) in enumerate(zip(LENGTHS, REWARDS)):
        token_rewards[row, length - 1] += reward
    values, log_p = normal() * mask, -normal().abs() - 0.5
    old, reference = log_p + 0.4 * normal(), log_p + 0.3 * normal()
    predicted, returns = values + 0.8 * normal(), normal()
    last = torch.zeros_like(token_rewards)
    for row, length in enumerate(LENGTHS):
        last[row, length - 1] = REWARDS[row]

    index = np.array(GROUPS)
    of_response = lambda advantages: [row[0] for row in rows(advantages[0])]
    gae, gae_returns = core_algos.compute_gae_advantage_return(token_rewards, values, mask, GAMMA, LAMBDA)
    advantages = core_algos.compute_grpo_outcome_advantage(last.clone(), mask, index)[0]
    log_p.requires_grad_(True)
    config = ActorConfig(strategy="fsdp", rollout_n=1, clip_ratio=CLIP, clip_ratio_low=CLIP, clip_ratio_high=CLIP, clip_ratio_c=DUAL_CLIP,
                         ppo_micro_batch_size_per_gpu=1)
    policy_loss, policy_metrics = core_algos.compute_policy_loss_vanilla(old, log_p, gae, mask, "token-mean", config)
    gradient = torch.autograd.grad(policy_loss, log_p)[0]
    trl = trl_loss(log_p, old, reference, advantages[:, 0], mask)
    trl_gradient = torch.autograd.grad(trl, log_p)[0]
    log_p = log_p.detach()
    mean_of = lambda terms: ((terms * mask).sum() / mask.sum()).item()
    OUT.write_text(json.dumps({
        "gamma": GAMMA, "lambda": LAMBDA, "clip": CLIP, "dual_clip": DUAL_CLIP, "value_range": VALUE_RANGE, "beta": BETA,
        "rewards": REWARDS, "groups": GROUPS, "token_rewards": rows(token_rewards), "values": rows(values), "log_p": rows(log_p),
        "old": rows(old), "reference": rows(reference), "predicted": rows(predicted), "value_returns": rows(returns),
        "verl": {
            "grpo": of_response(core_algos.compute_grpo_outcome_advantage(last.clone(), mask, index)),
            "grpo_by_mean": of_response(
                core_algos.compute_grpo_outcome_advantage(last.clone(), mask, index, norm_adv_by_std_in_grpo=False)),
            "rloo": of_response(core_algos.compute_rloo_outcome_advantage(last.clone(), mask, index)),
            "reinforce_plus_plus": rows(core_algos.compute_reinforce_plus_plus_outcome_advantage(
                token_rewards, mask, config=SimpleNamespace(gamma=GAMMA))[0]),
            "gae": rows(gae), "gae_returns": rows(gae_returns),
            "policy_loss": policy_loss.item(), "clip_fraction": policy_metrics["actor/pg_clipfrac"], "policy_gradient": rows(gradient),
            "k1": mean_of(core_algos.kl_penalty(log_p, reference, "k1")), "k3": mean_of(core_algos.kl_penalty(log_p, reference, "k3")),
            "value_loss": core_algos.compute_value_loss(predicted, returns, values, mask, VALUE_RANGE)[0].item()},
        "trl": {"loss": trl.item(), "gradient": rows(trl_gradient)}}))


if __name__ == "__main__":
    main()
