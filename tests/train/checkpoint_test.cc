// What a kill at any moment may leave behind, and what the disk may say. That a resumed run goes on as if it had never stopped:
// trainer_test.cc.
#include "caltrop/train/checkpoint.h"

#include "caltrop/base/files.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

namespace fs = std::filesystem;

/// Nothing of it is remembered.
class Forgetful : public Objective {
 public:
  std::vector<std::string> streams() const override { return {}; }
  std::vector<MetricDeclaration> logged() const override { return {}; }
  Scalars add_gradients(Step&) override { return {}; }
  Json options() const override { return Json::object(); }
};

struct Saved {
  test::ScratchFolder folder;
  fs::path state = folder / "state";
  std::shared_ptr<Model> model = test::tiny_model();
  TrainableWeights weights{*model, LoraOptions(), RandomStream(1, "LoRA")};
  std::unique_ptr<Optimizer> optimizer = make_optimizer({}, weights.tensors());
  Forgetful objective;

  void save(int64_t steps) {
    TrainTotals totals;
    totals.steps = steps;
    save_checkpoint(state, weights, *optimizer, objective, totals);
  }
  int64_t load() { return load_checkpoint(state, weights, *optimizer, objective).steps; }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(state)) all.push_back(entry.path().filename().string());
    return all;
  }
};

TEST(Checkpoint, OnlyTheNewestIsKept) {
  Saved run;
  EXPECT_EQ(run.load(), 0);
  run.save(2);
  run.save(4);
  EXPECT_EQ(run.names(), std::vector<std::string>{"step-00000004"});
  EXPECT_EQ(run.load(), 4);
  EXPECT_EQ(checkpoint_steps(run.state), 4);
}

// Killed while it wrote one, or while it removed an older one: either is called "unfinished" then.
TEST(Checkpoint, HalfOfOneDoesNotCount) {
  Saved run;
  run.folder.write("state/unfinished/optimizer.safetensors", "half");
  EXPECT_EQ(run.load(), 0);
  run.save(2);
  run.folder.write("state/unfinished/weights.safetensors", "half");
  EXPECT_EQ(run.load(), 2);
  run.save(4);
  EXPECT_EQ(run.names(), std::vector<std::string>{"step-00000004"});
}

TEST(Checkpoint, ADiskThatRefusesIsTheUsersToMend) {
  Saved run;
  run.folder.write("state", "a file");
  EXPECT_USER_ERROR(run.load(), run.state.string() + ": cannot open: Not a directory");
  EXPECT_THROW(run.save(2), UserError);
  EXPECT_EQ(read_file(run.state), "a file");
}

}  // namespace
}  // namespace caltrop
