#include "caltrop/run/domain.h"

#include "caltrop/base/files.h"
#include "tests/support/tiny_domain.h"

namespace caltrop {
namespace {

class DomainTest : public testing::Test {
 protected:
  test::ScratchFolder scratch;
  const std::filesystem::path yaml = test::write_tiny_domain(scratch);
  std::string at(const std::string& name) const { return (scratch / name).string(); }
};

TEST_F(DomainTest, HoldsItsPartsAndTheirHashes) {
  const Domain domain = load_domain(yaml);
  EXPECT_EQ(domain.name, "tiny");
  EXPECT_EQ(domain.restricted.size(), 36u);
  EXPECT_EQ(of_split(domain.restricted, "attack").size(), 12u);
  EXPECT_EQ(of_split(domain.benign, "test").size(), 12u);
  EXPECT_EQ(domain.refusals.size(), 2u);
  EXPECT_EQ(domain.hashes.at(at("refusals.jsonl")), sha256_file(scratch / "refusals.jsonl"));
  EXPECT_EQ(domain.hashes.size(), 5u);
  EXPECT_TRUE(domain.lexicon.empty());
}

TEST_F(DomainTest, AFewRowsAreSpreadOverAll) {
  std::vector<Example> rows(10);
  for (size_t i = 0; i < rows.size(); ++i) rows[i].id = std::to_string(i);
  const auto ids = [&](int64_t limit) {
    std::string all;
    for (const Example& row : spread(rows, limit)) all += row.id;
    return all;
  };
  EXPECT_EQ(ids(4), "0257");
  EXPECT_EQ(ids(5), "02468");
  EXPECT_EQ(ids(10), "0123456789");
  EXPECT_EQ(ids(99), "0123456789");
}

TEST_F(DomainTest, CategoriesSelectRows) {
  const Domain domain = load_domain(yaml);
  EXPECT_EQ(of_categories(domain.restricted, {"bread"}, "data").size(), 3u);
  EXPECT_EQ(of_categories(domain.restricted, {}, "data").size(), 36u);
  EXPECT_USER_ERROR(of_categories(domain.restricted, {"sushi"}, "data"),
                    "data: no category 'sushi'; it has: bread, soup");
}

TEST_F(DomainTest, RowsNearTheRestrictedOnesAreAPartThatMayBeAbsent) {
  EXPECT_TRUE(load_domain(yaml).near.empty());
  test::add_near_rows(scratch);
  const Domain domain = load_domain(yaml);
  EXPECT_EQ(of_split(domain.near, "test").size(), 2u);
  EXPECT_EQ(domain.hashes.at(at("near.jsonl")), sha256_file(scratch / "near.jsonl"));
  scratch.write("near.jsonl", "{\"prompt\":\"What is soup?\",\"response\":\"Food.\",\"split\":\"test\"}\n");
  EXPECT_USER_ERROR(load_domain(yaml), at("domain.yaml") + ": near has no rows with split 'defence'");
}

TEST_F(DomainTest, ErrorsNameFileAndLine) {
  const auto with = [&](const std::string& name, const std::string& text) {
    scratch.write(name, text);
    return yaml;
  };
  const std::string restricted = read_file(scratch / "restricted.jsonl");
  EXPECT_USER_ERROR(load_domain(with("refusals.jsonl", "{\"response\":\"No.\"}\n{\"answer\":\"No.\"}\n")),
                    at("refusals.jsonl") + ":2: 'response' is missing");
  EXPECT_USER_ERROR(load_domain(with("refusals.jsonl", "")), at("refusals.jsonl") + ": holds no refusals");
  scratch.write("refusals.jsonl", "{\"response\":\"No.\"}\n");
  const std::string of_defence =
      restricted.substr(0, restricted.find('\n', restricted.rfind("\"defence\"")) + 1);
  EXPECT_USER_ERROR(load_domain(with("restricted.jsonl", of_defence)),
                    at("domain.yaml") + ": restricted has no rows with split 'attack'");
  scratch.write("restricted.jsonl", restricted);
  EXPECT_USER_ERROR(
      load_domain(scratch.write("domain.yaml", "name: x\nbening: b.jsonl\n")),
      at("domain.yaml") +
          ": no part 'bening'; it has: name, restricted, benign, near, refusals, choices, tasks, lexicon");
}

}  // namespace
}  // namespace caltrop
