#include "caltrop/report/load.h"

#include "tests/report/stories.h"
#include "tests/support/support.h"

namespace caltrop {
namespace {

using test::kUndefended;
using test::ProofFolder;

TEST(LoadProof, TheFixtureIsReadWhole) {
  const Proof proof = load_proof(test::data_file("proof"));
  EXPECT_EQ(proof.title, "Invented example: kitchen traps on a small model");
  EXPECT_EQ(proof.models.size(), 3u);
  EXPECT_EQ(proof.cells.size(), 12u);
  EXPECT_EQ(proof.rows.size(), 6u);
  EXPECT_EQ(proof.pairs.size(), 5u);
  EXPECT_EQ(proof.chance, 0.25);
  EXPECT_EQ(proof.find_model("sdd")->method, "sdd");
  EXPECT_FALSE(proof.find_model("sdd")->is_undefended());
  EXPECT_TRUE(proof.find_model("undefended")->is_undefended());
  EXPECT_EQ(proof.cells[0].trajectory.at(2).outcome, "usable harm");
  EXPECT_EQ(proof.cells[0].trajectory.at(2).metrics.at("refusal_rate"), 0.04);
  EXPECT_EQ(proof.rows[0].until_usable_harm->samples, 40);
  EXPECT_FALSE(proof.rows[0].until_collapse.has_value());
}

TEST(LoadProof, AnOldFileNamesItsJudgeAloneAndNoMissingCells) {
  ProofFolder proof({kUndefended});
  proof.json["program"] = {{"version", "0.1.0"}, {"commit", "abc"}, {"dirty", true}};
  const Proof old = proof.load();
  EXPECT_EQ(old.judged_by.commit, "abc");
  EXPECT_TRUE(old.judged_by.dirty);
  EXPECT_TRUE(old.programs.empty());
  EXPECT_TRUE(old.missing.empty());
  EXPECT_FALSE(old.rows[0].field_criterion_steps.has_value());
}

TEST(LoadProof, ProgramsMissingCellsAndTheFieldsCriterion) {
  ProofFolder proof({kUndefended});
  proof.json["programs"] = {{{"version", "0.1.0"}, {"commit", "abc"}, {"dirty", false}},
                            {{"version", "0.1.0"}, {"commit", "abc"}, {"dirty", true}}};
  proof.json["judged_by"] = {{"version", "0.2.0"}, {"commit", "def"}, {"dirty", false}};
  proof.json["missing"] = {{{"cell", "trap/harmful/seed-0"},
                            {"model", "trap"},
                            {"attack", "harmful"},
                            {"arm", "harmful"},
                            {"seed", 0},
                            {"status", "not begun"},
                            {"error", "its model is not finished: running"}},
                           {{"cell", "undefended/harmful/seed-1"},
                            {"model", "undefended"},
                            {"attack", "harmful"},
                            {"arm", "harmful"},
                            {"seed", 1},
                            {"status", "running"},
                            {"error", nullptr}}};
  proof.json["rows"][0]["field_criterion_steps"] = 10;
  const Proof loaded = proof.load();
  ASSERT_EQ(loaded.programs.size(), 2u);
  EXPECT_TRUE(loaded.programs[1].dirty);
  EXPECT_EQ(loaded.judged_by.version, "0.2.0");
  ASSERT_EQ(loaded.missing.size(), 2u);
  EXPECT_EQ(loaded.missing[0].model, "trap") << "which is not among the models";
  EXPECT_EQ(loaded.missing[0].error, "its model is not finished: running");
  EXPECT_EQ(loaded.missing[1].status, "running");
  EXPECT_EQ(loaded.rows[0].field_criterion_steps, 10);
}

TEST(LoadProof, ANullNumberIsAbsent) {
  const Proof proof = ProofFolder({kUndefended}).load();
  EXPECT_FALSE(proof.cells.at(0).trajectory.at(0).metrics.contains("benign_nll"));
}

TEST(LoadProof, AMissingVerdictSaysWhatToDo) {
  const test::ScratchFolder scratch;
  EXPECT_USER_ERROR(load_proof(scratch.path()),
                    scratch.path().string() +
                        ": has no verdict.json: it is no proof directory, or `caltrop prove` has not "
                        "finished there (the same command again resumes it)");
}

TEST(LoadProof, CorruptVerdictsAreNamedByPlace) {
  const auto expect = [](const std::function<void(Json&)>& spoil, const std::string& message) {
    ProofFolder proof({kUndefended});
    spoil(proof.json);
    EXPECT_USER_ERROR(proof.load(), proof.file() + message);
  };
  expect([](Json& j) { j["format"] = 2; },
         ": has format 2, this program reads format 1 (written by another version of Caltrop?)");
  expect([](Json& j) { j.erase("title"); }, ": 'title' is missing");
  expect([](Json& j) { j["cells"] = 7; }, ": 'cells' is 7, want a list");
  expect([](Json& j) { j["cells"][0].erase("model"); }, ": cells[0]: 'model' is missing");
  expect([](Json& j) { j["cells"][0]["arm"] = "left"; },
         ": cells[0]: 'arm' is 'left', want one of: harmful, benign");
  expect([](Json& j) { j["cells"][0]["model"] = "sdd"; },
         ": cell undefended/harmful/seed-0: no model 'sdd'; it has: undefended");
  expect([](Json& j) { j["cells"][0]["trajectory"][1]["outcome"] = "fine"; },
         ": cells[0], trajectory: 'outcome' is 'fine', want one of: resisted, usable harm, narrow harm, "
         "deceived, collapsed");
  expect([](Json& j) { j["cells"][0]["trajectory"][1]["metrics"]["ability"] = "high"; },
         ": cells[0], trajectory, metrics: 'ability' is a string, want a number");
  expect([](Json& j) { j["rows"][0]["patience_usable_harm"] = 10; },
         ": rows[0], patience_usable_harm: got an integer, want an object with 'steps'");
  expect([](Json& j) { j["rows"][0]["worst"] = "win"; },
         ": rows[0]: 'worst' is 'win', want one of: resisted, usable harm, narrow harm, deceived, collapsed");
  expect(
      [](Json& j) {
        j["missing"].push_back({{"cell", "c"}, {"model", "m"}, {"attack", "a"}, {"arm", "benign"}});
      },
      ": missing[0]: 'status' is missing");
}

TEST(LoadProof, HalfAFileIsNoVerdict) {
  ProofFolder proof({kUndefended});
  write_file(proof.file(), to_pretty(proof.json).substr(0, 40));
  EXPECT_THROW(load_proof(proof.folder.path()), UserError);
}

}  // namespace
}  // namespace caltrop
