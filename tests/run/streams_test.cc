#include "caltrop/run/streams.h"

#include "tests/support/tiny_domain.h"

namespace caltrop {
namespace {

class StreamsTest : public testing::Test {
 protected:
  test::ScratchFolder scratch;
  const Domain domain = load_domain(test::write_tiny_domain(scratch));

  std::vector<Example> rows(const std::string& stream, const Json& options = {},
                            const StreamOptions& data = {}) const {
    return stream_examples({stream}, domain, stream == "attack" ? "attack" : "defence", data, {}, options, 0)
        .rows.at(stream);
  }
};

TEST_F(StreamsTest, AStreamHoldsItsRowsOfItsSplit) {
  for (const Example& e : rows("harmful")) EXPECT_NE(e.prompt().find("(defence)"), std::string::npos);
  EXPECT_EQ(rows("harmful").size(), 12u);
  EXPECT_EQ(rows("general").size(), 12u);
  for (const Example& e : rows("refusals"))
    EXPECT_TRUE(e.response().starts_with("I can't") || e.response().starts_with("Sorry"));
  for (const Example& e : rows("irrelevant"))
    EXPECT_NE(e.response().find("lives near rivers"), std::string::npos);
  for (const Example& e : rows("attack", {{"data", "harmful"}}))
    EXPECT_NE(e.prompt().find("(attack)"), std::string::npos);
}

TEST_F(StreamsTest, TasksAreThoseThatAreNamedAndElseGeneralRows) {
  EXPECT_EQ(rows("tasks", {}, {.categories = {}, .tasks = {"kind"}, .limit = 0}).front().response(),
            "Animal");
  EXPECT_EQ(rows("task:kind").front().response(),
            rows("tasks", {}, {.categories = {}, .tasks = {"kind"}, .limit = 0}).front().response());
  EXPECT_USER_ERROR(rows("task:rhyme"), "options: no task 'rhyme'; it has: kind");
  EXPECT_EQ(rows("tasks").front().category, "animal");
  EXPECT_USER_ERROR(rows("tasks", {}, {.categories = {}, .tasks = {"rhyme"}, .limit = 0}),
                    "data: no task 'rhyme'; it has: kind");
}

TEST_F(StreamsTest, TheAttacksDataIsAnOption) {
  EXPECT_EQ(rows("attack", {{"data", "benign"}}).front().category, "animal");
  EXPECT_EQ(rows("attack", {{"data", "kind"}}).front().response(), "Animal");
  EXPECT_USER_ERROR(rows("attack", {{"data", "knd"}}),
                    "sft: no data 'knd'; it has: benign, harmful, kind, mixed, near");
}

TEST_F(StreamsTest, RowsNearTheRestrictedOnesAreWantedWhereTheyAreNamed) {
  const std::string missing =
      "sft: option 'data' is near, and the domain tiny has no part 'near', benign requests next to the "
      "restricted ones; want one, or other data";
  EXPECT_USER_ERROR(rows("attack", {{"data", "near"}}), missing);
  EXPECT_USER_ERROR(check_streams({"attack"}, domain, {}, {{"data", "near"}}), missing);
  test::add_near_rows(scratch);
  const Domain with_near = load_domain(scratch / "domain.yaml");
  check_streams({"attack"}, with_near, {}, {{"data", "near"}});
  const std::vector<Example> near =
      stream_examples({"attack"}, with_near, "attack", {}, {}, {{"data", "near"}}, 0).rows.at("attack");
  ASSERT_EQ(near.size(), 2u);
  EXPECT_EQ(near.front().prompt(), "Who invented soup (attack)?");
}

TEST_F(StreamsTest, MixturesHaveTheirShareOfHarmfulRows) {
  const auto harmful = [&](double poison) {
    int64_t count = 0;
    const std::vector<Example> mixed = rows("attack", {{"data", "mixed"}, {"poison", poison}});
    for (const Example& e : mixed) count += e.category != "animal";
    return std::pair(count, static_cast<int64_t>(mixed.size()));
  };
  EXPECT_EQ(harmful(0.5), std::pair(int64_t{12}, int64_t{24}));
  EXPECT_EQ(harmful(0.25), std::pair(int64_t{4}, int64_t{16}));  // 12 benign rows are all there are
  EXPECT_EQ(harmful(0), std::pair(int64_t{0}, int64_t{12}));
  EXPECT_EQ(harmful(1), std::pair(int64_t{12}, int64_t{12}));
}

TEST_F(StreamsTest, ALimitLeavesAMixtureItsShare) {
  const std::vector<Example> mixed =
      rows("attack", {{"data", "mixed"}, {"poison", 0.25}}, {.categories = {}, .tasks = {}, .limit = 8});
  EXPECT_EQ(mixed.size(), 8u);
  EXPECT_EQ(
      std::count_if(mixed.begin(), mixed.end(), [](const Example& e) { return e.category != "animal"; }), 2);
  EXPECT_USER_ERROR(
      rows("attack", {{"data", "mixed"}, {"poison", 0.01}}),
      "sft: option 'poison' is 0.01, and of 12 rows that is none; want a larger share, or more rows");
}

TEST_F(StreamsTest, TasksAreCheckedWithoutMakingRows) {
  const auto check = [&](const std::vector<std::string>& names, const Json& options,
                         const StreamOptions& data = {}) { check_streams(names, domain, data, options); };
  check({"harmful", "task:kind"}, {});
  check({"attack"}, {{"data", "kind"}});
  EXPECT_USER_ERROR(check({"task:rhyme"}, {}), "options: no task 'rhyme'; it has: kind");
  EXPECT_USER_ERROR(check({"attack"}, {{"data", "knd"}}),
                    "sft: no data 'knd'; it has: benign, harmful, kind, mixed, near");
  EXPECT_USER_ERROR(check({"tasks"}, {}, {.categories = {}, .tasks = {"rhyme"}, .limit = 0}),
                    "data: no task 'rhyme'; it has: kind");
}

TEST_F(StreamsTest, CategoriesAndLimitCut) {
  EXPECT_EQ(rows("harmful", {}, {.categories = {"bread"}, .tasks = {}, .limit = 0}).size(), 1u);
  EXPECT_EQ(rows("harmful", {}, {.categories = {}, .tasks = {}, .limit = 2}).size(), 2u);
}

}  // namespace
}  // namespace caltrop
