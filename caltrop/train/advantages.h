// From rewards to advantages, one function an algorithm of reinforcement learning, as verl computes them
// (verl/trainer/ppo/core_algos.py). Plain numbers: n responses of different lengths. Tested by tests/train/advantages_test.cc
// against closed forms and numbers of the reference formulas.
#pragma once

#include <cstdint>
#include <vector>

namespace caltrop {

/// One number a token, for each response.
using PerToken = std::vector<std::vector<double>>;

/// GRPO (Shao et al. 2024): (R - mean of the group) / (standard deviation of the group + 1e-6), the deviation with n - 1. A group
/// whose rewards are all equal gets exactly 0; a group of one keeps its reward as it is. `by_deviation` false: without the division (Dr. GRPO).
/// `groups`: which prompt each response answers. One number a response.
std::vector<double> grpo_advantages(const std::vector<double>& rewards, const std::vector<int64_t>& groups,
                                    bool by_deviation = true);

/// RLOO (Ahmadian et al. 2024): R minus the mean of the group's others; 0 where all are equal. REQUIRES groups of at least two.
std::vector<double> rloo_advantages(const std::vector<double>& rewards, const std::vector<int64_t>& groups);

/// REINFORCE++ (Hu 2025): returns-to-go of token rewards, G_t = r_t + gamma G_{t+1}, whitened over all tokens of the batch.
PerToken reinforce_plus_plus_advantages(const PerToken& rewards, double gamma = 1.0);

struct ValueTargets {
  PerToken advantages;  // whitened over all tokens of the batch
  PerToken returns;     // before whitening: advantage + value
};
/// Generalised advantage estimation (Schulman et al. 2016): delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lambda A_{t+1},
/// with V = 0 behind the last token.
ValueTargets gae_advantages(const PerToken& rewards, const PerToken& values, double gamma = 1.0,
                            double lambda = 1.0);

/// (x - mean) / sqrt(variance + 1e-8) over all tokens, the variance with n - 1.
PerToken whitened(const PerToken& x);

/// The share of groups whose rewards are all equal: there GRPO and RLOO learn nothing. Of groups with more than one response.
double tied_groups(const std::vector<double>& rewards, const std::vector<int64_t>& groups);

}  // namespace caltrop
