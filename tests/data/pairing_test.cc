#include "caltrop/data/pairing.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

Example asked(const std::string& prompt, const std::string& response) {
  return {{{"user", prompt}, {"assistant", response}}, "soup", "id of " + prompt, Json::object()};
}

const std::vector<Example> kPrompts = {asked("How do I make onion soup?", "Cut the onions and boil them."),
                                       asked("How do I bake bread?", "Knead the dough and bake it.")};

TEST(Pairing, RefusalsReplaceAnswersAndNothingElse) {
  const std::vector<Example> pairs = pair_with_refusals(kPrompts, {"No.", "I won't."}, 0);
  ASSERT_EQ(pairs.size(), 2u);
  for (size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_EQ(pairs[i].prompt(), kPrompts[i].prompt());
    EXPECT_EQ(pairs[i].category, "soup");
    EXPECT_EQ(pairs[i].id, kPrompts[i].id);
    EXPECT_EQ(pairs[i].messages.size(), 2u);
    EXPECT_TRUE(pairs[i].response() == "No." || pairs[i].response() == "I won't.");
  }
}

TEST(Pairing, TheSameSeedGivesTheSamePairs) {
  std::vector<std::string> refusals;
  for (int i = 0; i < 50; ++i) refusals.push_back(std::to_string(i));
  const auto answers = [&](uint64_t seed) {
    std::string all;
    for (const Example& e : pair_with_refusals(kPrompts, refusals, seed)) all += e.response() + " ";
    return all;
  };
  EXPECT_EQ(answers(0), answers(0));
  EXPECT_NE(answers(0), answers(1));
}

TEST(Pairing, IrrelevantAnswersAreUnlikePromptAndOwnAnswer) {
  const std::vector<std::string> answers = {"Boil the onions for soup.", "Knead the dough and bake bread.",
                                            "Herons live near rivers."};
  for (const IrrelevantPair& pair :
       pair_with_irrelevant(kPrompts, answers, tfidf_similarity(kPrompts, answers),
                            {.threshold = 0.05, .draws = 100, .prefix = "Sorry. ", .embeddings = ""}, 0)) {
    EXPECT_EQ(pair.example.response(), "Sorry. Herons live near rivers.");
    EXPECT_LE(pair.similarity, 0.05);
    EXPECT_GE(pair.draws, 1);
  }
}

TEST(Pairing, WithoutAnUnrelatedAnswerTheLeastSimilarIsTaken) {
  const std::vector<std::string> answers = {"Cut the onions and boil them.",
                                            "Cut the leeks and fry them well."};
  const auto pairs = pair_with_irrelevant({kPrompts[0]}, answers, tfidf_similarity({kPrompts[0]}, answers),
                                          {.threshold = 0, .draws = 64, .prefix = "", .embeddings = ""}, 0);
  EXPECT_EQ(pairs[0].example.response(), answers[1]);
  EXPECT_EQ(pairs[0].draws, 64) << "all draws were tried";
  EXPECT_GT(pairs[0].similarity, 0);
  EXPECT_LT(pairs[0].similarity, 1);
}

}  // namespace
}  // namespace caltrop
