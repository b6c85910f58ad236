#include <ATen/ATen.h>

#include "caltrop/train/objective.h"
#include "tests/reference/ctrap_twin.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
std::vector<const Entry*> all_attacks();

namespace {

const Entry& sft() { return find_entry(all_attacks(), "attack", "sft"); }

TEST(Sft, IsTheCrossEntropyOfTheAttackersRows) {
  const auto model = test::tiny_model();
  const auto objective = sft().make({{"data", "benign"}});
  EXPECT_EQ(objective->streams(), std::vector<std::string>{"attack"});
  Step step = test::make_step(*model, {"attack"}, 5, 5);
  const Scalars scalars = objective->add_gradients(step);
  EXPECT_LE(test::difference(test::take_gradients(*model),
                             test::cross_entropy_gradient(*model, pack(test::random_rows(1, 5)))),
            1e-5);
  ASSERT_EQ(scalars.size(), 1u);
  EXPECT_EQ(scalars[0].first, "attack_loss");
}

TEST(Sft, OptionsAreCheckedAndResolved) {
  EXPECT_EQ(sft().make(Json::object())->options(), (Json{{"data", "harmful"}, {"poison", 0.5}}));
  EXPECT_USER_ERROR(sft().make({{"dta", "harmful"}}), "sft: no option 'dta'; it has: data, poison");
  EXPECT_USER_ERROR(sft().make({{"poison", 1.5}}), "sft: option 'poison' is 1.5, want 0 to 1");
}

}  // namespace
}  // namespace caltrop
