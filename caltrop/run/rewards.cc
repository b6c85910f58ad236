#include "caltrop/run/rewards.h"

#include <memory>

#include "caltrop/base/child_process.h"
#include "caltrop/base/error.h"
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

Rewards domain_rewards(const Domain& domain, const std::string& split) {
  std::vector<std::string> restricted, other = domain.refusals;
  for (const Example& row : of_split(domain.restricted, split)) restricted.push_back(row.response());
  for (const Example& row : of_split(domain.benign, split)) other.push_back(row.response());
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

RewardFn external_reward(const std::vector<std::string>& command, double seconds) {
  const auto program = std::make_shared<ChildProcess>(command, "reward");
  return [=](const std::vector<std::string>& prompts, const std::vector<std::string>& responses) {
    std::vector<std::string> questions;
    for (size_t i = 0; i < prompts.size(); ++i)
      questions.push_back(to_line({{"prompt", prompts[i]}, {"response", responses[i]}}));
    std::vector<double> rewards;
    for (const std::string& line : program->ask(questions, seconds)) {
      const Json answer = Json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!answer.is_number()) {
        throw UserError("reward: the program '{}' answered '{}' to {}, want one number", join(command, " "),
                        line, questions[rewards.size()]);
      }
      rewards.push_back(answer.get<double>());
    }
    return rewards;
  };
}

}  // namespace caltrop
