// What reinforcement learning is paid for. The run layer makes rewards out of a domain's judges; methods know only their names.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace caltrop {

/// One finite number a response. `prompts[i]` is what `responses[i]` answers.
using RewardFn = std::function<std::vector<double>(const std::vector<std::string>& prompts,
                                                   const std::vector<std::string>& responses)>;
using Rewards = std::map<std::string, RewardFn>;
using MakeRewards = std::function<Rewards()>;

}  // namespace caltrop
