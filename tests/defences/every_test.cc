// What every defence must satisfy with the options that it has if nobody names any.
#include "tests/defences/method_test.h"

namespace caltrop {
namespace {

/// All names but those of methods whose gradient is of the micro-batch: repnoise, whose distances are between the rows of one;
/// tripwire, whose means are over the tokens of one; token_buncher, which samples (tests/defences/token_buncher_test.cc).
std::vector<std::string> of_the_whole_batch() {
  std::vector<std::string> names;
  for (const Entry* entry : all_defences()) {
    if (entry->name != "repnoise" && entry->name != "tripwire" && entry->name != "token_buncher")
      names.push_back(entry->name);
  }
  return names;
}

class EveryDefence : public test::MethodTest, public testing::WithParamInterface<std::string> {};

TEST_P(EveryDefence, DoesNotDependOnMicroBatches) {
  Json options = Json::object();  // their token, " error", is none of the tiny model's
  if (GetParam() == "ctrap") options["collapse_token"] = 5;
  if (GetParam() == "rehearsal") options["collapse_text"] = "A";
  const auto of = [&](int64_t part) {
    const std::shared_ptr<Model> start = test::tiny_model();
    const auto defence = find_entry(all_defences(), "defence", GetParam()).make(options);
    defence->prepare(*start, tokenizer);
    test::scale_weights(*start, 1.01);  // away from the start, where references have no slope
    // Step 1: at step 0 methods may check themselves, or have nothing kept yet.
    Step step = test::make_step(*start, defence->streams(), 6, part, 1, defence->beginnings());
    defence->add_gradients(step);
    return test::take_gradients(*start);
  };
  const Gradients whole = of(6);
  EXPECT_GT(global_norm(whole).item<double>(), 0);
  // Optimizer steps of a rehearsed attacker make a little more of rounding.
  for (const int64_t part : {1, 4}) EXPECT_LE(test::difference(of(part), whole), 1e-3) << part << " rows";
}

INSTANTIATE_TEST_SUITE_P(All, EveryDefence, testing::ValuesIn(of_the_whole_batch()));

}  // namespace
}  // namespace caltrop
