#include "caltrop/base/fields.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

struct Options {
  double weight = 0.1;
  int64_t steps = 5;
  bool strict = false;
  std::string mode = "fast";
  std::vector<int64_t> at = {1, 2};
  Json names = Json::object();

  static auto fields() {
    using O = Options;
    return std::tuple{field("weight", &O::weight, 0, 1, "how much"),
                      field("steps", &O::steps, 1, 100, "how long"),
                      field("strict", &O::strict, "whether to fail"),
                      field("mode", &O::mode, {"fast", "exact"}, "which way"),
                      field("at", &O::at, 0, 9, "when"),
                      field("names", &O::names, "what is called what")};
  }
};

TEST(Fields, ReadAndWrite) {
  Options options;
  read_options(options, Json{{"weight", 1}, {"mode", "exact"}, {"at", {3}}, {"names", {{"a", 1}}}}, "test");
  EXPECT_EQ(to_line(write_options(options)),
            R"({"weight":1.0,"steps":5,"strict":false,"mode":"exact","at":[3],"names":{"a":1}})");
}

TEST(Fields, ErrorsAreForPeople) {
  Options o;
  EXPECT_USER_ERROR(read_options(o, Json{{"wieght", 1}}, "test"),
                    "test: no option 'wieght'; it has: weight, steps, strict, mode, at, names");
  EXPECT_USER_ERROR(read_options(o, Json{{"weight", 2}}, "test"), "test: option 'weight' is 2, want 0 to 1");
  EXPECT_USER_ERROR(read_options(o, Json{{"steps", 1.5}}, "test"),
                    "test: option 'steps' is 1.5, want integer");
  EXPECT_USER_ERROR(read_options(o, Json{{"mode", "slow"}}, "test"),
                    "test: option 'mode' is 'slow', want one of: fast, exact");
  EXPECT_USER_ERROR(read_options(o, Json{{"at", {1, 10}}}, "test"),
                    "test: option 'at' is [1,10], want 0 to 9");
  EXPECT_USER_ERROR(read_options(o, Json{{"names", "a"}}, "test"),
                    "test: option 'names' is \"a\", want object");
}

TEST(Fields, HelpHasEveryOptionWithItsDefault) {
  EXPECT_THAT(options_help(describe_options<Options>()), testing::HasSubstr("mode=fast|exact"));
  EXPECT_THAT(options_help(describe_options<Options>()), testing::HasSubstr("how long [5]"));
}

struct WithPresets {
  std::string preset = "ours";
  double weight = 1;
  static auto fields() {
    using O = WithPresets;
    return std::tuple{field("preset", &O::preset, {"paper", "ours"}, "whose defaults"),
                      field("weight", &O::weight, 0, 9, "how heavy")};
  }
  static WithPresets of(const std::string& preset) { return {preset, preset == "ours" ? 2.0 : 3.0}; }
};

TEST(Fields, HelpHasThePresetsDefault) { EXPECT_EQ(describe_options<WithPresets>()[1].fallback, "2.0"); }

}  // namespace
}  // namespace caltrop
