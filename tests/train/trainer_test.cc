#include "caltrop/train/trainer.h"

#include <limits>

#include <ATen/ATen.h>

#include "caltrop/loss/language.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
namespace {

/// Plain fine-tuning on one stream, which can be told to fail at a step.
class Plain : public Objective {
 public:
  std::vector<std::string> streams() const override { return {"a"}; }
  std::vector<MetricDeclaration> logged() const override { return {{"loss", "nats/token", "lower", "loss"}}; }
  Scalars add_gradients(Step& step) override {
    if (step.number() == stop_at) throw std::runtime_error("killed");
    const Tensor loss = step.accumulate(
        "a", answer_loss(), step.number() == overflow_at ? std::numeric_limits<double>::infinity() : 1.0);
    return {{"loss", loss}};
  }
  Json options() const override { return Json::object(); }

  int64_t stop_at = -1, overflow_at = -1;
};

struct Trial {
  test::ScratchFolder folder;
  std::shared_ptr<Model> model = test::tiny_model();
  Plain plain;
  TrainOptions options;
  std::vector<double> losses;

  explicit Trial(const std::string& optimizer = "adamw") {
    options.steps = 9;
    options.batch = 4;
    options.save_every = 2;
    options.learning_rate = 1e-2;
    options.optimizer = optimizer;
    options.schedule = "cosine";
    options.warmup = 0.3;
  }

  TrainTotals go() {
    TrainHooks hooks;
    hooks.log = [&](int64_t, const TrainHooks::Numbers& numbers) {
      losses.push_back(numbers.front().second);
    };
    std::map<std::string, Stream> streams;
    streams.emplace("a", Stream("a", test::random_rows(3, 7), 5));
    return train(*model, plain, std::move(streams), options, 5, folder / "state", hooks);
  }
};

TEST(Trainer, ResumedEqualsUninterruptedBitForBit) {
  for (const char* optimizer : {"adamw", "sgd"}) {
    Trial whole(optimizer);
    whole.go();
    Trial broken(optimizer);
    broken.plain.stop_at = 7;  // after the checkpoint of step 6 and one step more
    EXPECT_THROW(broken.go(), std::runtime_error);
    broken.model = test::tiny_model(99);  // nothing of the first process is left
    broken.plain.stop_at = -1;
    const TrainTotals totals = broken.go();
    EXPECT_EQ(totals.steps, 9);
    EXPECT_EQ(totals.rows, 36);
    EXPECT_TRUE(test::same_bits(broken.model->parameters(), whole.model->parameters())) << optimizer;
  }
}

TEST(Trainer, ResumedLoraEqualsUninterruptedBitForBit) {
  const auto lora = [](Trial& trial) { trial.options.lora_rank = 2; };
  Trial whole;
  lora(whole), whole.go();
  Trial broken;
  lora(broken), broken.plain.stop_at = 7;
  EXPECT_THROW(broken.go(), std::runtime_error);
  broken.model = test::tiny_model();  // the model that the run began with
  broken.plain.stop_at = -1;
  broken.go();
  EXPECT_TRUE(test::same_bits(broken.model->parameters(), whole.model->parameters()));
  EXPECT_FALSE(test::same_bits(broken.model->parameters(), test::tiny_model()->parameters()));
}

TEST(Trainer, LossFallsWhenTrainedOnTheSameRows) {
  Trial run;
  run.options.steps = 40;
  run.options.schedule = "constant";
  run.go();
  EXPECT_LT(run.losses.back(), 0.5 * run.losses.front());
}

TEST(Trainer, ZeroStepsOnlyEvaluate) {
  Trial run;
  run.options.steps = 0;
  const NamedTensors before = test::copy_of(run.model->parameters());
  EXPECT_EQ(run.go().steps, 0);
  EXPECT_TRUE(test::same_bits(run.model->parameters(), before));
}

TEST(Trainer, ARunEndsAtTheEvaluationThatIsEnough) {
  const test::ScratchFolder folder;
  const std::shared_ptr<Model> model = test::tiny_model();
  Plain plain;
  TrainOptions options;
  options.steps = 9, options.batch = 4;
  TrainHooks hooks;
  std::vector<int64_t> evaluated;
  hooks.due = [](int64_t steps) { return steps % 2 == 0; };
  hooks.evaluate = [&](int64_t steps) { evaluated.push_back(steps); };
  hooks.enough = [&] { return evaluated.back() == 4; };
  std::map<std::string, Stream> streams;
  streams.emplace("a", Stream("a", test::random_rows(3, 7), 5));
  const TrainTotals totals = train(*model, plain, std::move(streams), options, 5, folder / "state", hooks);
  EXPECT_EQ(totals.steps, 4);
  EXPECT_EQ(totals.rows, 16);
  EXPECT_EQ(evaluated, (std::vector<int64_t>{0, 2, 4}));
}

TEST(Trainer, GradientsThatAreNotFiniteStopTheRun) {
  Trial run;
  run.plain.overflow_at = 2;
  EXPECT_USER_ERROR(run.go(),
                    "train: at step 2 the gradient of model.embed_tokens.weight is not finite; the weights "
                    "are as they were "
                    "before this step (a learning rate or a loss weight that is too large?)");
}

TEST(Trainer, MicroBatchesGiveTheSameTrajectory) {
  Trial whole, split;
  split.options.micro_batch = 1;
  whole.go();
  split.go();
  for (size_t i = 0; i < whole.losses.size(); ++i)
    EXPECT_NEAR(split.losses[i], whole.losses[i], 1e-4) << "step " << i + 1;
}

}  // namespace
}  // namespace caltrop
