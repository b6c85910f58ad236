#include "caltrop/base/json.h"

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(Json, SyntaxErrorNamesLineAndColumn) {
  try {
    parse_json("{\n  \"a\": 1,\n  \"b\" 2\n}", "x.json");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("x.json: line 3, column 7: not valid JSON"));
  }
}

TEST(Json, DuplicateKeyIsRefused) {
  EXPECT_USER_ERROR(parse_json(R"({"a": 1, "b": {"c": 2}, "a": 3})", "x.json"),
                    "x.json: the key 'a' stands twice in one object");
  EXPECT_NO_THROW(parse_json(R"([{"a": 1}, {"a": 3}])", "x.json"));
  EXPECT_USER_ERROR(parse_json(R"({"": 1, "": 2})", "x.json"),
                    "x.json: the key '' stands twice in one object");
}

TEST(Json, NumbersTooLargeAreRefused) {
  EXPECT_USER_ERROR(parse_json("{\n  \"a\": 1e999\n}", "x.json"),
                    "x.json: line 2, column 8: the number 1e999 is too large");
}

TEST(Json, DeepNestingIsRefused) {
  const auto nested = [](size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_NO_THROW(parse_json(nested(200), "x.json"));
  EXPECT_USER_ERROR(parse_json(nested(300), "x.json"), "x.json: nested more than 200 levels deep");
  EXPECT_USER_ERROR(parse_json(std::string(1'000'000, '['), "x.json"),
                    "x.json: nested more than 200 levels deep");
}

TEST(Json, LinesCarryTheirNumber) {
  const test::ScratchFolder folder;
  const auto path = folder.write("rows.jsonl", "{\"a\": 1}\n\n{\"a\": 2}\n");
  std::vector<int64_t> lines;
  read_json_lines(path, [&](const Json&, int64_t line) { lines.push_back(line); });
  EXPECT_EQ(lines, (std::vector<int64_t>{1, 3}));
}

TEST(Json, RequiredSaysWhatIsWrong) {
  const Json object = parse_json(R"({"n": "four"})", "x.json");
  EXPECT_USER_ERROR(required<int64_t>(object, "n", "x.json"), "x.json: 'n' is a string, want an integer");
  EXPECT_USER_ERROR(required<int64_t>(object, "m", "x.json"), "x.json: 'm' is missing");
  EXPECT_EQ(optional<int64_t>(object, "m", "x.json", 7), 7);
}

TEST(Json, InvalidUtf8IsReplacedWhenWritten) { EXPECT_EQ(to_line(Json("a\xff")), "\"a\xEF\xBF\xBD\""); }

}  // namespace
}  // namespace caltrop
