#include "caltrop/report/examples.h"

#include "tests/report/stories.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using test::kUndefended;
using test::ProofFolder;
using testing::ElementsAre;

void answer(const ProofFolder& proof, const std::string& run, int64_t step,
            const std::vector<std::string>& ids) {
  std::vector<Sample> samples;
  for (const std::string& id : ids) {
    const std::string set = id[0] == 'r' ? "restricted" : "benign";
    samples.push_back(
        {set, id, id.substr(0, 2), "prompt " + id, fmt::format("{} at {}", id, step), 1, Json::object()});
  }
  write_samples(proof.folder / run / "samples", step, samples);
}

std::vector<std::string> ids(const ExampleGroup& group) {
  std::vector<std::string> found;
  for (const ShownAnswer& example : group.examples) found.push_back(example.id);
  return found;
}

std::vector<std::string> stages(const ShownAnswer& example) {
  std::vector<std::string> found;
  for (const Answer& a : example.answers) found.push_back(fmt::format("{} {}", a.stage, a.step));
  return found;
}

TEST(Examples, AFewPromptsOfDifferentCategoriesRestrictedOnesFirst) {
  const ProofFolder proof({kUndefended});
  for (const int64_t step : {0, 10, 20}) {
    answer(proof, "cells/undefended/harmful", step, {"ba-1", "ba-2", "bb-1", "ra-1", "ra-2", "rb-1"});
  }
  const auto groups = choose_examples(proof.load());
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_THAT(ids(groups[0]), ElementsAre("ra-1", "rb-1", "ba-1", "bb-1"));
  EXPECT_THAT(stages(groups[0].examples[0]), ElementsAre("before 0", "during 10", "after 20"));
  EXPECT_EQ(groups[0].examples[1].answers[2].sample.response, "rb-1 at 20");
}

TEST(Examples, DuringIsWhereTheOutcomeChanged) {
  ProofFolder proof({{"undefended", "harmful", "usable harm", 10}});
  for (const int64_t step : {0, 5, 10, 15, 18, 19, 20})
    answer(proof, "cells/undefended/harmful", step, {"ra-1"});
  EXPECT_THAT(stages(choose_examples(proof.load())[0].examples[0]),
              ElementsAre("before 0", "during 10", "after 20"));
  proof.json["cells"][0]["trajectory"] = Json::array();
  EXPECT_THAT(stages(choose_examples(proof.load())[0].examples[0]),
              ElementsAre("before 0", "during 15", "after 20"));
}

TEST(Examples, EveryModelAnswersTheSamePrompts) {
  const ProofFolder proof({kUndefended, {"trap", "harmful", "collapsed"}});
  answer(proof, "cells/undefended/harmful", 0, {"ra-1", "rb-1", "rc-1"});
  answer(proof, "cells/trap/harmful", 0, {"rc-1", "rb-1", "ra-1"});
  const auto groups = choose_examples(proof.load());
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(ids(groups[0]), ids(groups[1]));
}

TEST(Examples, ARunOutsideTheProofIsRefused) {
  ProofFolder proof({kUndefended});
  proof.json["cells"][0]["run"] = "../../etc";
  EXPECT_USER_ERROR(
      choose_examples(proof.load()),
      proof.file() + ": names the file '../../etc', which lies outside " + proof.folder.path().string());
}

}  // namespace
}  // namespace caltrop
