#include <set>

#include "caltrop/record/run_dir.h"
#include "caltrop/record/samples.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/report.h"
#include "tests/report/stories.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using test::kUndefended;
using test::ProofFolder;

size_t occurrences(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// Without the page in the message of a failure: it is long.
bool has(const std::string& page, const std::string& part) { return page.find(part) != std::string::npos; }

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t at = text.find(begin) + begin.size();
  return text.substr(at, text.find(end, at) - at);
}

/// Every attribute of the page with its value. Shown text holds no bare quotation mark, so none can be taken for one.
std::set<std::pair<std::string, std::string>> attributes(const std::string& page) {
  const std::string markup =
      page.substr(0, page.find("\n<script>"));  // our own script and what follows it apart
  std::set<std::pair<std::string, std::string>> found;
  for (size_t at = markup.find("=\""); at != std::string::npos; at = markup.find("=\"", at + 1)) {
    const size_t begin = markup.find_last_of(" \n", at) + 1;
    const size_t end = markup.find('"', at + 2);
    found.emplace(markup.substr(begin, at - begin), markup.substr(at + 2, end - at - 2));
  }
  return found;
}

const std::string& fixture_page() {
  static const std::string page = render_page(load_proof(test::data_file("proof")));
  return page;
}

TEST(Page, EverySectionIsThere) {
  for (const char* id : {"verdict", "curves", "examples", "cost", "failed", "glossary", "record"}) {
    EXPECT_TRUE(has(fixture_page(), fmt::format("<section id=\"{}\">", id)));
    EXPECT_TRUE(has(fixture_page(), fmt::format("<a href=\"#{}\">", id)));
  }
}

TEST(Page, TheTableHasARowForEachModelAndArm) {
  const std::string table = between(fixture_page(), "<table class=\"verdict\">", "</table>");
  EXPECT_EQ(occurrences(table, "<tr class=\"arm-harmful\">"), 3u);
  EXPECT_EQ(occurrences(table, "<tr class=\"arm-benign\">"), 3u);
  const std::string trap = between(table, "<bdi>ctrap</bdi>", "</tr>");
  EXPECT_TRUE(has(trap, "#icon-collapsed"));
  EXPECT_TRUE(has(trap, "badge good"));
  EXPECT_TRUE(has(trap, "60 % → 24 % ± 3"));
  EXPECT_TRUE(has(trap, "<b>+34</b> ± 5"));
  EXPECT_TRUE(has(trap, "title=\"10 steps (80 samples, 9,700 tokens, 0:27)\""));
}

TEST(Page, CellsWithoutAResultAreNamedWithTheirReasons) {
  ProofFolder proof({kUndefended});
  EXPECT_FALSE(has(render_page(proof.load()), "id=\"failed\""));
  proof.json["missing"].push_back({{"cell", "trap/harmful/seed-0"},
                                   {"model", "trap"},
                                   {"attack", "harmful"},
                                   {"arm", "harmful"},
                                   {"status", "not begun"},
                                   {"error", "its model is not finished: running"}});
  const std::string page = render_page(proof.load());
  EXPECT_TRUE(
      has(between(page, "<dl class=\"failed\">", "</dl>"), "not begun: its model is not finished: running"));
  EXPECT_TRUE(has(page, "<p class=\"caveat\">Without a result: 1 of 2 cells (trap: 1 not begun).</p>"));
}

TEST(Page, TheCommitsOfTheRunsAndOfTheJudgeAreTwoThings) {
  ProofFolder proof({kUndefended});
  proof.json["programs"] = {{{"commit", "abc"}, {"dirty", true}}, {{"commit", "def"}}};
  proof.json["judged_by"] = {{"version", "0.2.0"}, {"commit", "123"}};
  const std::string page = render_page(proof.load());
  EXPECT_TRUE(has(page, "<dt>Runs made by</dt><dd>commits abc with uncommitted changes, def</dd>"));
  EXPECT_TRUE(has(page, "<dt>Judged by</dt><dd>caltrop 0.2.0, commit 123</dd>"));
}

TEST(Page, RefersToNothingOutsideItself) {
  for (const auto& [name, value] : attributes(fixture_page())) {
    EXPECT_NE(name, "src");
    if (name != "href") continue;
    EXPECT_EQ(value[0], '#') << value;
  }
  EXPECT_FALSE(has(fixture_page(), "@import"));
  EXPECT_FALSE(has(fixture_page(), "url("));
}

TEST(Page, ThePolicyAllowsItsOwnScriptAndStyleAndNothingElse) {
  const std::string script = between(fixture_page(), "\n<script>", "</script>");
  const std::string style = between(fixture_page(), "<style>", "</style>");
  EXPECT_TRUE(has(fixture_page(),
                  fmt::format("content=\"default-src 'none'; script-src {}; style-src {}; base-uri 'none'; "
                              "form-action 'none'\"",
                              content_hash(script), content_hash(style))));
  EXPECT_EQ(occurrences(fixture_page(), "<script"), 2u);  // the curves' data, and our own
  EXPECT_EQ(occurrences(fixture_page(), "</script"), 2u);
  for (const auto& [name, value] : attributes(fixture_page())) {
    EXPECT_NE(name, "style") << value;
    EXPECT_NE(name.substr(0, 2), "on") << value;
  }
}

TEST(Page, HostileTextIsTextWhereverItStands) {
  const std::string evil = "</script><img src=x onerror=alert(1)>\"'\u202e";
  ProofFolder proof({kUndefended, {evil, "harmful", "collapsed"}});
  Json& json = proof.json;
  json["title"] = json["command"] = json["machine"] = json["created"] = evil;
  json["judged_by"] = {{"version", evil}, {"commit", evil}};
  json["programs"] = Json::array({{{"version", evil}, {"commit", evil}}});
  json["missing"].push_back(
      {{"cell", evil}, {"model", evil}, {"attack", evil}, {"arm", "benign"}, {"status", evil}});
  json["thresholds"] = {{evil, 1}};
  json["metrics"].push_back({{"name", evil}, {"unit", evil}, {"better", evil}, {"meaning", evil}});
  for (const char* key : {"summary", "paper"}) json["models"][1][key] = evil;
  json["models"][1]["options"] = {{evil, evil}};
  json["models"][1]["run"] = "models/trap";
  Json& cell = json["cells"][1];
  cell["id"] = cell["attack"] = cell["error"] = evil;
  cell["status"] = "failed";
  cell["run"] = "cells/trap";
  cell["trajectory"][0]["signature"] = evil;
  for (const char* key : {"attack", "signature", "says"}) json["rows"][1][key] = evil;
  write_samples(proof.folder / "cells/trap/samples", 0, {{evil, evil, evil, evil, evil, 1, {{evil, evil}}}});
  RunDir::create_or_resume(proof.folder / "models/trap", evil, {{"device", evil}, {"dtype", evil}})
      .finish({{evil, evil}});

  const std::string page = render_page(proof.load());
  EXPECT_FALSE(has(page, "<img"));
  EXPECT_FALSE(has(page, "\u202e"));
  EXPECT_EQ(occurrences(page, "</script"), 2u);
  EXPECT_EQ(occurrences(page, "onerror=alert"), occurrences(page, "&lt;img src=x onerror=alert") +
                                                    occurrences(page, "\\u003cimg src=x onerror=alert"));
  EXPECT_GT(occurrences(page, "&lt;img src=x onerror=alert"), 25u);
}

TEST(Page, WriteReportPutsOneFileThere) {
  const test::ScratchFolder scratch;
  write_report(test::data_file("proof"), scratch / "report.html");
  EXPECT_EQ(read_file(scratch / "report.html"), fixture_page());
  EXPECT_LT(fixture_page().size(), 400u << 10);
}

}  // namespace
}  // namespace caltrop
