#include "caltrop/train/advantages.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "caltrop/base/error.h"

namespace caltrop {
namespace {

/// Indices of the responses of each group.
std::map<int64_t, std::vector<size_t>> members(const std::vector<double>& rewards,
                                               const std::vector<int64_t>& groups) {
  CALTROP_ASSERT(rewards.size() == groups.size(), "{} rewards for {} responses", rewards.size(),
                 groups.size());
  std::map<int64_t, std::vector<size_t>> found;
  for (size_t i = 0; i < groups.size(); ++i) found[groups[i]].push_back(i);
  return found;
}

double mean_of(const std::vector<double>& rewards, const std::vector<size_t>& group) {
  double sum = 0;
  for (const size_t i : group) sum += rewards[i];
  return sum / static_cast<double>(group.size());
}

/// Whether all of the group are paid alike. Its mean is then a rounding away from them, which has a sign.
bool is_tied(const std::vector<double>& rewards, const std::vector<size_t>& group) {
  return std::all_of(group.begin(), group.end(),
                     [&](size_t i) { return rewards[i] == rewards[group.front()]; });
}

}  // namespace

std::vector<double> grpo_advantages(const std::vector<double>& rewards, const std::vector<int64_t>& groups,
                                    bool by_deviation) {
  std::vector<double> advantages(rewards.size());
  for (const auto& [id, group] : members(rewards, groups)) {
    if (group.size() == 1) {  // mean 0, deviation 1
      advantages[group.front()] = rewards[group.front()];
      continue;
    }
    if (is_tied(rewards, group)) continue;
    const double mean = mean_of(rewards, group);
    double squares = 0;
    for (const size_t i : group) squares += (rewards[i] - mean) * (rewards[i] - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(group.size() - 1));
    for (const size_t i : group)
      advantages[i] = (rewards[i] - mean) / (by_deviation ? deviation + 1e-6 : 1.0);
  }
  return advantages;
}

std::vector<double> rloo_advantages(const std::vector<double>& rewards, const std::vector<int64_t>& groups) {
  std::vector<double> advantages(rewards.size());
  for (const auto& [id, group] : members(rewards, groups)) {
    CALTROP_ASSERT(group.size() > 1, "RLOO over a group of one response");
    if (is_tied(rewards, group)) continue;
    const double mean = mean_of(rewards, group), n = static_cast<double>(group.size());
    for (const size_t i : group) advantages[i] = n / (n - 1) * (rewards[i] - mean);
  }
  return advantages;
}

PerToken reinforce_plus_plus_advantages(const PerToken& rewards, double gamma) {
  PerToken returns = rewards;
  for (std::vector<double>& of_response : returns) {
    for (size_t t = of_response.size(); t-- > 1;) of_response[t - 1] += gamma * of_response[t];
  }
  return whitened(returns);
}

ValueTargets gae_advantages(const PerToken& rewards, const PerToken& values, double gamma, double lambda) {
  CALTROP_ASSERT(rewards.size() == values.size(), "{} rewards and {} values", rewards.size(), values.size());
  PerToken advantages = rewards, returns = rewards;
  for (size_t i = 0; i < rewards.size(); ++i) {
    CALTROP_ASSERT(rewards[i].size() == values[i].size(), "response {}: {} rewards and {} values", i,
                   rewards[i].size(), values[i].size());
    double behind = 0, value_behind = 0;
    for (size_t t = rewards[i].size(); t-- > 0;) {
      const double delta = rewards[i][t] + gamma * value_behind - values[i][t];
      behind = delta + gamma * lambda * behind;
      advantages[i][t] = behind;
      returns[i][t] = behind + values[i][t];
      value_behind = values[i][t];
    }
  }
  return {whitened(advantages), std::move(returns)};
}

PerToken whitened(const PerToken& x) {
  double sum = 0, squares = 0;
  int64_t count = 0;
  for (const auto& row : x) {
    for (const double value : row) sum += value, ++count;
  }
  if (count < 2) return PerToken(x.size(), std::vector<double>(x.empty() ? 0 : x.front().size(), 0.0));
  const double mean = sum / static_cast<double>(count);
  for (const auto& row : x) {
    for (const double value : row) squares += (value - mean) * (value - mean);
  }
  const double scale = 1 / std::sqrt(squares / static_cast<double>(count - 1) + 1e-8);
  PerToken white = x;
  for (auto& row : white) {
    for (double& value : row) value = (value - mean) * scale;
  }
  return white;
}

double tied_groups(const std::vector<double>& rewards, const std::vector<int64_t>& groups) {
  int64_t tied = 0, all = 0;
  for (const auto& [id, group] : members(rewards, groups)) {
    if (group.size() < 2) continue;
    ++all;
    tied += is_tied(rewards, group);
  }
  return all > 0 ? static_cast<double>(tied) / static_cast<double>(all) : 0;
}

}  // namespace caltrop
