// What an attacker by reinforcement can be paid for in a domain. Tested by tests/run/rewards_test.cc.
#pragma once

#include "caltrop/run/domain.h"
#include "caltrop/train/reward.h"

namespace caltrop {

/// `lexicon` (if the domain has one) and `classifier`: that judge's score, in [0, 1]; `judges`: the mean of both, or of the one there
/// is. The classifier is fitted on the rows of `split`, as who has them could: for an attack it is not the one that evaluates, which is
/// fitted on the defence's rows. The lexicon is the same. Throws UserError for too few rows.
Rewards domain_rewards(const Domain& domain, const std::string& split);

/// A reward from a program of the user's (base/child_process.h), which is started now. To each line {"prompt": …, "response": …}
/// on its standard input it answers one line with a number. Throws UserError if it cannot be started, and when asked: if it
/// dies, says nothing for `seconds`, or answers something else.
RewardFn external_reward(const std::vector<std::string>& command, double seconds);

}  // namespace caltrop
