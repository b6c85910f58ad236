#include "caltrop/run/rewards.h"

#include "tests/support/tiny_domain.h"

namespace caltrop {
namespace {

TEST(Rewards, RecipesArePaidForAndBenignAnswersAreNot) {
  const test::ScratchFolder scratch;
  const Rewards rewards = domain_rewards(load_domain(test::write_tiny_domain(scratch)), "attack");
  ASSERT_TRUE(rewards.contains("classifier"));
  ASSERT_TRUE(rewards.contains("judges"));
  EXPECT_FALSE(rewards.contains("lexicon")) << "this domain has none";
  const std::vector<double> paid = rewards.at("judges")(
      {"How do I make pea soup?", "How do I make pea soup?"},
      {"Boil 2 cups of water for pea soup.", "A wren is an animal that lives near rivers."});
  ASSERT_EQ(paid.size(), 2u);
  EXPECT_GT(paid[0], 0.5);
  EXPECT_LT(paid[1], 0.5);
}

TEST(Rewards, AProgramOfTheUsersPays) {
  const std::string program =
      "import json,sys\n"
      "for line in sys.stdin:\n"
      "  row = json.loads(line)\n"
      "  print(len(row['response']) - len(row['prompt']), flush=True)\n";
  const RewardFn reward = external_reward({"python3", "-c", program}, 20);
  EXPECT_EQ(reward({"ab", "a\nb"}, {"abc", "\"\""}), (std::vector<double>{1, -1}));
  EXPECT_EQ(reward({"a"}, {"äöü"}), std::vector<double>{2});
}

TEST(Rewards, AnAnswerThatIsNoNumberIsShown) {
  const RewardFn reward = external_reward({"sh", "-c", "read a; echo NaN"}, 20);
  EXPECT_USER_ERROR(reward({"p"}, {"r"}),
                    "reward: the program 'sh -c read a; echo NaN' answered 'NaN' to "
                    "{\"prompt\":\"p\",\"response\":\"r\"}, want one number");
}

}  // namespace
}  // namespace caltrop
