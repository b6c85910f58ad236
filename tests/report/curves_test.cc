#include "caltrop/report/curves.h"

#include "tests/report/stories.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using test::kUndefended;
using test::kUndefendedBenign;
using test::ProofFolder;
using testing::ElementsAre;

std::vector<std::string> labels(const Panel& panel) {
  std::vector<std::string> found;
  for (const Curve& curve : panel.curves) found.push_back(curve.model + " " + curve.arm);
  return found;
}

TEST(Curves, ADefendedModelStandsBesideTheUndefendedOneAndBothBesideTheirTwins) {
  const std::vector<Figure> figures = make_figures(ProofFolder({kUndefended,
                                                                kUndefendedBenign,
                                                                {"a", "harmful", "collapsed"},
                                                                {"a", "benign", "resisted"},
                                                                {"b", "harmful", "collapsed"},
                                                                {"b", "benign", "resisted"}})
                                                       .load());
  ASSERT_EQ(figures.size(), 2u);
  EXPECT_EQ(figures[1].id, "figure-1");
  EXPECT_EQ(figures[1].model, "b");
  EXPECT_EQ(figures[1].twin, "benign");
  ASSERT_EQ(figures[1].panels.size(), 2u);  // the stories measure refusals and ability, not harm
  const Panel& ability = figures[1].panels[1];
  EXPECT_EQ(ability.metric, "ability");
  EXPECT_EQ(ability.level, 0.25);
  EXPECT_EQ(ability.level_name, "guessing");
  EXPECT_THAT(labels(ability),
              ElementsAre("undefended harmful", "undefended benign", "b harmful", "b benign"));
  EXPECT_FALSE(ability.curves[0].defended);
  EXPECT_TRUE(ability.curves[2].defended);
}

TEST(Curves, TheUndefendedModelAloneHasItsFigureToo) {
  EXPECT_EQ(make_figures(ProofFolder({kUndefended, kUndefendedBenign}).load()).size(), 1u);
  EXPECT_TRUE(make_figures(ProofFolder({}).load()).empty());
}

TEST(Curves, SeedsGiveMeanAndRangeAtTheStepsTheyHave) {
  ProofFolder proof({kUndefended});
  Json second = proof.json["cells"][0];
  second["seed"] = 1;
  second["trajectory"].erase(1);  // not evaluated at step 10
  second["trajectory"][1]["metrics"]["ability"] = 0.26;
  proof.json["cells"].push_back(second);
  const Figure figure = make_figures(proof.load()).at(0);
  const Curve& curve = figure.panels.back().curves.at(0);
  EXPECT_EQ(curve.seeds, 2);
  EXPECT_THAT(figure.panels.back().steps, ElementsAre(0, 10, 20));
  EXPECT_EQ(curve.mean[1], 0.66);
  EXPECT_NEAR(*curve.mean[2], (0.66 + 0.26) / 2, 1e-12);
  EXPECT_EQ(curve.low[2], 0.26);
  EXPECT_EQ(curve.high[2], 0.66);
}

TEST(Curves, WhatWasNotMeasuredIsNull) {
  ProofFolder proof({kUndefended});
  proof.json["cells"][0]["trajectory"][1]["metrics"]["ability"] = nullptr;
  const Json figures = figures_json(make_figures(proof.load()));
  EXPECT_EQ(to_line(figures[0]["panels"][1]["curves"][0]["mean"]), "[0.66,null,0.66]");
}

}  // namespace
}  // namespace caltrop
