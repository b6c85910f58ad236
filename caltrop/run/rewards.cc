#include "caltrop/run/rewards.h"

#include <memory>

#include "caltrop/eval/judge.h"

namespace caltrop {
namespace {

RewardFn mean_score(std::vector<std::shared_ptr<const Judge>> judges) {
  return [judges = std::move(judges)](const std::vector<std::string>& prompts,
                                      const std::vector<std::string>& responses) {
    std::vector<double> rewards;
    for (size_t i = 0; i < responses.size(); ++i) {
      double sum = 0;
      for (const auto& judge : judges) sum += judge->score(prompts[i], responses[i]);
      rewards.push_back(sum / static_cast<double>(judges.size()));
    }
    return rewards;
  };
}

}  // namespace

Rewards domain_rewards(const Domain& domain) {
  std::vector<std::string> restricted, other = domain.refusals;
  for (const Example& row : of_split(domain.restricted, "attack")) restricted.push_back(row.response());
  for (const Example& row : of_split(domain.benign, "attack")) other.push_back(row.response());
  std::vector<std::shared_ptr<const Judge>> judges = {
      std::make_shared<ClassifierJudge>(ClassifierJudge::fit(restricted, other, /*seed=*/1))};
  Rewards rewards{{"classifier", mean_score(judges)}};
  if (!domain.lexicon.empty()) {
    const std::shared_ptr<const Judge> lexicon = load_lexicon_judge(domain.lexicon);
    rewards["lexicon"] = mean_score({lexicon});
    judges.push_back(lexicon);
  }
  rewards["judges"] = mean_score(judges);
  return rewards;
}

}  // namespace caltrop
