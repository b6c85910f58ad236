#include "caltrop/base/yaml.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(Yaml, ScalarsHaveTheTypesThatPeopleMean) {
  EXPECT_EQ(to_line(parse_yaml("{a: 1, b: 3e-5, c: true, d: word, e: '1', f: [1, x], g: , h: 1.2.3}", "x")),
            R"({"a":1,"b":3e-05,"c":true,"d":"word","e":"1","f":[1,"x"],"g":null,"h":"1.2.3"})");
}

TEST(Yaml, ErrorsHavePlaces) {
  EXPECT_USER_ERROR(parse_yaml("a: 1\nb: [1, 2\n", "x.yaml"),
                    "x.yaml: line 3, column 1: not valid YAML (end of sequence flow not found)");
  EXPECT_USER_ERROR(parse_yaml("a: 1\nb: 2\na: 3\n", "x.yaml"),
                    "x.yaml: line 3, column 1: the key 'a' stands twice");
}

TEST(Yaml, OneDocumentThatEnds) {
  EXPECT_USER_ERROR(parse_yaml("a: 1\n---\nb: 2\n", "x.yaml"),
                    "x.yaml: holds 2 documents (a line '---' begins one), want one");
  EXPECT_TRUE(parse_yaml("", "x.yaml").is_null());
  try {
    parse_yaml("a: &x [*x]", "x.yaml");
    FAIL() << "nothing was thrown";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("more than 100 levels deep"));
  }
}

TEST(Yaml, SetPathMakesObjectsOnTheWay) {
  Json spec = Json::object();
  set_path(spec, "train.steps", 5, "--set");
  EXPECT_EQ(to_line(spec), R"({"train":{"steps":5}})");
  EXPECT_USER_ERROR(set_path(spec, "train.steps.x", 5, "--set"),
                    "--set: 'train.steps.x' goes through a value, not an object");
}

}  // namespace
}  // namespace caltrop
