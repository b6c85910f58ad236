#include "caltrop/run/sense.h"

#include "caltrop/base/files.h"
#include "caltrop/data/collate.h"
#include "caltrop/run/domain.h"
#include "tests/support/tiny_domain.h"
#include "tests/support/tiny_model.h"

namespace caltrop {
namespace {

class SenseTest : public testing::Test {
 protected:
  test::ScratchFolder scratch;
  const std::filesystem::path domain = test::write_tiny_domain(scratch),
                              folder = test::write_tiny_folder(scratch / "model");
  const ModelOptions compute{.device = "cpu", .dtype = "fp32"};

  std::filesystem::path sensor(const Json& readings, size_t width = 0, double first = 0, double others = 0) {
    Json direction = Json::array();
    if (width == 0) width = static_cast<size_t>(Model::load(folder, compute)->config().width);
    for (size_t i = 0; i < width; ++i) direction.push_back(i == 0 ? first : others);
    return scratch.write(
        "sensor.json",
        to_pretty({{"format", 1}, {"layer", 1}, {"readings", readings}, {"direction", direction}}));
  }
  /// The mean over all answers of the first number that the MLP of layer 1 reads, each row by itself.
  double mean_of_first(const std::vector<Example>& examples) const {
    const at::NoGradGuard off;
    const auto model = Model::load(folder, compute);
    const ChatEncoder encoder = ChatEncoder::load(folder);
    double sum = 0, tokens = 0;
    for (const Example& example : examples) {
      const TokenRow row = encoder.encode(example, 256);
      const Tensor x = model->mlp_input(pack(std::vector<TokenRow>{row}).tokens, 1);  // [T,D]
      for (size_t t = 1; t < row.ids.size(); ++t) {
        if (row.answer[t]) sum += x[static_cast<int64_t>(t) - 1][0].item<double>(), tokens += 1;
      }
    }
    return sum / tokens;
  }
};

TEST_F(SenseTest, TheThresholdLiesBetweenAndErrorsAreCounted) {
  // A direction of zeros reads 0 everywhere.
  const Sensed low = sense(
      folder, sensor({{"rest", -1.5}, {"harmful", {1.0, 2.0}}, {"benign", {-1.0, -0.5}}}), domain, compute);
  EXPECT_EQ(low.reading, 0);
  EXPECT_DOUBLE_EQ(low.threshold, 0.25);
  EXPECT_FALSE(low.is_harmful);
  EXPECT_EQ(low.missed, 0);
  EXPECT_EQ(low.false_alarms, 0);
  const Sensed mixed = sense(
      folder, sensor({{"rest", -1.5}, {"harmful", {-1.0, 2.0}}, {"benign", {-2.0, 0.5}}}), domain, compute);
  EXPECT_DOUBLE_EQ(mixed.threshold, -0.25);
  EXPECT_TRUE(mixed.is_harmful);
  EXPECT_EQ(mixed.missed, 1);
  EXPECT_EQ(mixed.false_alarms, 1);
  EXPECT_NE(describe(mixed).find("missed 1 of 2 attacks"), std::string::npos);
}

// By a threshold of its own making the lowest attack is never missed, and the highest training no false alarm.
TEST_F(SenseTest, ErrorsAreCountedByTheThresholdOfTheOthers) {
  const Sensed missed = sense(
      folder, sensor({{"rest", -1.5}, {"harmful", {0.2, 2.0}}, {"benign", {-1.0, -0.9}}}), domain, compute);
  EXPECT_DOUBLE_EQ(missed.threshold, -0.35);
  EXPECT_EQ(missed.missed, 1) << "0.2 lies below half way from -0.9 to 2";
  EXPECT_EQ(missed.false_alarms, 0);
  const Sensed alarmed = sense(
      folder, sensor({{"rest", -1.5}, {"harmful", {1.0, 1.1}}, {"benign", {-1.0, 0.5}}}), domain, compute);
  EXPECT_DOUBLE_EQ(alarmed.threshold, 0.75);
  EXPECT_EQ(alarmed.missed, 0);
  EXPECT_EQ(alarmed.false_alarms, 1) << "0.5 lies above half way from -1 to 1";
  EXPECT_NE(describe(alarmed).find("each judged by a threshold from the others"), std::string::npos);

  const Sensed alone =
      sense(folder, sensor({{"rest", -1.5}, {"harmful", {1.0}}, {"benign", {0.0}}}), domain, compute);
  EXPECT_EQ(alone.harmful, 0) << "without it there is no threshold";
  EXPECT_EQ(alone.missed, 0);
  EXPECT_EQ(alone.benign, 1) << "rest is left to judge it by";
  EXPECT_EQ(alone.false_alarms, 1);
}

TEST_F(SenseTest, RowsAreSpreadOverTheTestSplit) {
  std::string benign = read_file(scratch / "benign.jsonl");
  for (int i = 0; i < 52; ++i) {  // with the twelve that there are twice as many as are read
    benign += to_line({{"prompt", fmt::format("Count from {}.", i)},
                       {"response", fmt::format("{}, {}, {}", i, i + 1, i + 2)},
                       {"category", "count"},
                       {"split", "test"}}) +
              "\n";
  }
  scratch.write("benign.jsonl", benign);
  const std::vector<Example> all = of_split(load_domain(domain).benign, "test");
  ASSERT_EQ(all.size(), 64u);
  std::vector<Example> every_other;
  for (size_t i = 0; i < all.size(); i += 2) every_other.push_back(all[i]);
  const Json proved = {{"rest", -1.5}, {"harmful", {1.0, 2.0}}, {"benign", {-1.0}}};
  const double reading = sense(folder, sensor(proved, 0, 1.0), domain, compute).reading;
  EXPECT_NEAR(reading, mean_of_first(every_other), 1e-5);
  EXPECT_GT(std::abs(reading - mean_of_first({all.begin(), all.begin() + 32})), 1e-4);
}

TEST_F(SenseTest, TheReadingIsTheMeanOverBenignAnswersOfWhatTheLayersMlpReads) {
  const Json proved = {{"rest", -1.5}, {"harmful", {1.0}}, {"benign", {-1.0}}};
  const double reading = sense(folder, sensor(proved, 0, 2.0), domain, compute).reading;
  EXPECT_NEAR(reading, 2 * mean_of_first(of_split(load_domain(domain).benign, "test")), 1e-5);
  EXPECT_GT(std::abs(reading), 1e-3);
  EXPECT_USER_ERROR(
      sense(folder, sensor(proved, 0, 3e38, 3e38), domain, compute),
      fmt::format("{}: the reading of {} is not finite, so it says nothing; has its training diverged?",
                  (scratch / "sensor.json").string(), folder.string()));
}

TEST_F(SenseTest, ASensorThatDoesNotFitIsRefused) {
  const Json proved = {{"rest", -1.5}, {"harmful", {1.0}}, {"benign", {-1.0}}};
  const auto other = sensor(proved, 3);
  const auto width = Model::load(folder, compute)->config().width;
  EXPECT_USER_ERROR(sense(folder, other, domain, compute),
                    fmt::format("{}: reads layer 1 of a model of width 3, and {} has 2 layers of width {}",
                                other.string(), folder.string(), width));
  const auto unproved = sensor({{"rest", -1.5}, {"harmful", Json::array()}, {"benign", {-1.0}}});
  EXPECT_USER_ERROR(
      sense(folder, unproved, domain, compute),
      fmt::format(
          "{}: its sensor was never proved ('harmful' is empty), so its errors are unknown; it was made with "
          "options.proofs 0: give the sensor.json of the run that trained the sensor",
          unproved.string()));
}

}  // namespace
}  // namespace caltrop
