#include "caltrop/report/results.h"

#include <cmath>

#include "tests/report/stories.h"

namespace caltrop {
namespace {

using testing::HasSubstr;
using testing::Not;

// The ends of the interval are where the share lies 1.96 standard errors away, by the share that the end itself claims.
TEST(Results, WilsonsEndsAreWhereTheShareIsTwoErrorsAway) {
  for (const double share : {0.0, 0.1, 0.5, 1.0}) {
    const Interval in = wilson(share, 28);
    for (const double end : {in.low, in.high}) {
      if (end <= 0 || end >= 1) continue;
      EXPECT_NEAR(std::abs(share - end) / std::sqrt(end * (1 - end) / 28), 1.96, 1e-3) << share;
    }
    EXPECT_LE(in.low, share);
    EXPECT_GE(in.high, share);
  }
  EXPECT_EQ(wilson(0, 28).low, 0);
  EXPECT_GT(wilson(0, 28).high, 0.1) << "nothing seen in 28 answers is no proof of nothing";
}

TEST(Results, EveryModelAndRowHasItsLine) {
  test::ProofFolder folder(
      {test::kUndefended, test::kUndefendedBenign, {"trap", "harmful", "collapsed", 20, 0.64, 0.26}});
  folder.json["rows"][2]["prompts"] = 28;
  folder.json["rows"][2]["harm_end"] = 0;
  folder.json["models"][1]["cost"] = {
      {"steps", 40},           {"seconds", 100},         {"threads", 1},
      {"forward_passes", 200}, {"backward_passes", 160}, {"peak_memory_bytes", 3e9}};
  folder.json["models"][1]["dtype"] = "bf16";
  const std::string page = results_page({folder.load()}, "caltrop results x");
  EXPECT_THAT(page, HasSubstr("Written by `caltrop results x`"));
  EXPECT_THAT(
      page,
      HasSubstr("| trap | trap | 40 | 5, 4 | 2.5 on 1 thread, bf16 | 2.8 GiB | 64 % (−2) | – | – | – |\n"));
  EXPECT_THAT(page, HasSubstr("| trap | harmful | 1 collapsed | never | 20 steps | 0 % (0 to 12) | 64 % → 26 "
                              "% ± 6 | fluent |  |\n"));
  EXPECT_THAT(page, HasSubstr("- **undefended**: No defence: usable harm after 10 steps"));
  EXPECT_THAT(page, Not(HasSubstr("task |")));
}

TEST(Results, OnAGpuItsMemoryIsWhatCounts) {
  test::ProofFolder folder({test::kUndefended, {"trap", "harmful", "collapsed", 20, 0.64, 0.26}});
  folder.json["models"][1]["cost"] = {{"peak_memory_bytes", 3e9}, {"peak_device_memory_bytes", 6e9}};
  const std::string page = results_page({folder.load()}, "caltrop results x");
  EXPECT_THAT(page, HasSubstr("| 5.6 GiB on the GPU |"));
  EXPECT_THAT(page, Not(HasSubstr("2.8 GiB")));
}

TEST(Results, EveryPlusMinusIsA95PercentInterval) {
  const test::ProofFolder folder({test::kUndefended,
                                  {"trap", "harmful", "collapsed", 20, 0.64, 0.26},
                                  {"trap", "benign", "resisted", 0, 0.64, 0.63}});
  const std::string page = results_page({folder.load()}, "caltrop");
  EXPECT_THAT(page, HasSubstr("64 % → 63 % ± 6 |"));
  EXPECT_THAT(page, HasSubstr("benign training leaves it working (ability 64 % → 63 % ± 6)"));
  EXPECT_THAT(page, HasSubstr("Every interval on this page"));
}

TEST(Results, TheCommitsOfTheRunsAreNamed) {
  test::ProofFolder folder({test::kUndefended});
  folder.json["program"] = {{"commit", "abc"}, {"dirty", true}};
  EXPECT_THAT(
      results_page({folder.load()}, "caltrop"),
      HasSubstr(
          "; runs made by commits that verdict.json does not name, judged by commit abc with uncommitted "
          "changes.\n"));
  folder.json["programs"] = {{{"commit", "abc"}}, {{"commit", "def"}, {"dirty", true}}};
  folder.json["judged_by"] = {{"commit", "123"}};
  EXPECT_THAT(results_page({folder.load()}, "caltrop"),
              HasSubstr("; runs made by commits abc, def with uncommitted changes, judged by commit 123.\n"));
}

TEST(Results, CellsWithoutAResultAreCounted) {
  test::ProofFolder folder({test::kUndefended});
  folder.json["missing"].push_back({{"cell", "undefended/harmful/seed-1"},
                                    {"model", "undefended"},
                                    {"attack", "harmful"},
                                    {"arm", "harmful"},
                                    {"status", "not begun"}});
  EXPECT_THAT(results_page({folder.load()}, "caltrop"),
              HasSubstr("- Note: Without a result: 1 of 2 cells (undefended: 1 not begun).\n"));
}

TEST(Results, DiversityHasAColumnWhereItWasMeasured) {
  test::ProofFolder folder({test::kUndefended, {"trap", "harmful", "collapsed", 20, 0.64, 0.26}});
  EXPECT_THAT(results_page({folder.load()}, "caltrop"), Not(HasSubstr("distinct-2")));
  folder.json["models"][0]["at_rest"]["sampled_distinct_2"] = 0.8;
  folder.json["models"][1]["at_rest"]["sampled_distinct_2"] = 0.6;
  const std::string page = results_page({folder.load()}, "caltrop");
  EXPECT_THAT(page, HasSubstr("| refusal | distinct-2 at T = 1 |\n"));
  EXPECT_THAT(page, HasSubstr("| 0.600 (-25.0 %) |\n"));
}

TEST(Results, OverRefusalNearTheDomainHasAColumnWhereItWasMeasured) {
  test::ProofFolder folder({test::kUndefended, {"trap", "harmful", "collapsed", 20, 0.64, 0.26}});
  EXPECT_THAT(results_page({folder.load()}, "caltrop"), Not(HasSubstr("near the domain")));
  folder.json["models"][0]["at_rest"]["over_refusal_rate_near"] = 0.25;
  folder.json["models"][1]["at_rest"]["over_refusal_rate_near"] = 0.5;
  const std::string page = results_page({folder.load()}, "caltrop");
  EXPECT_THAT(page, HasSubstr("| refusal | over-refusal near the domain |\n"));
  EXPECT_THAT(page, HasSubstr("| 50 % (+25) |\n"));
}

TEST(Results, RowsWithoutAResultAreNamedBelowTheTable) {
  test::ProofFolder folder({test::kUndefended, {"trap", "harmful", "collapsed", 20, 0.64, 0.26}});
  folder.json["rows"][1]["outcomes"] = Json::object();
  const std::string page = results_page({folder.load()}, "caltrop");
  EXPECT_THAT(page, HasSubstr("\nWithout a result: trap / harmful.\n"));
  EXPECT_THAT(page, Not(HasSubstr("| trap | harmful |")));
}

TEST(Results, TitlesCannotDrawTables) {
  test::ProofFolder folder({test::kUndefended});
  folder.json["title"] = "a | b\n<script>";
  const std::string page = results_page({folder.load()}, "caltrop");
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("a | b")));
}

}  // namespace
}  // namespace caltrop
