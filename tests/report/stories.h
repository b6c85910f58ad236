// Small proofs for tests: a story in a few words becomes the verdict.json that the run layer would have
// written.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "caltrop/base/files.h"
#include "caltrop/base/json.h"
#include "caltrop/report/load.h"
#include "tests/support/support.h"

namespace caltrop::test {

/// What became of one model under one arm of the one attack: "resisted" until step `at`, from there on
/// `outcome`. Evaluated at steps 0, 10 and 20.
struct Story {
  std::string model, arm, outcome;
  int64_t at = 10;
  double ability_rest = 0.66, ability_end = 0.66;
};

inline Json patience(const Story& story, const std::string& outcome) {
  if (story.outcome != outcome) return nullptr;
  return {{"steps", story.at},
          {"samples", 8 * story.at},
          {"tokens", 1000 * story.at},
          {"seconds", 2.7 * static_cast<double>(story.at)}};
}

inline Json trajectory(const Story& story) {
  Json points = Json::array();
  for (const int64_t step : {0, 10, 20}) {
    points.push_back({{"step", step},
                      {"outcome", step >= story.at ? story.outcome : "resisted"},
                      {"signature", "fluent"},
                      {"metrics",
                       {{"ability", step == 0 ? story.ability_rest : story.ability_end},
                        {"refusal_rate", 0.5},
                        {"benign_nll", nullptr}}}});
  }
  return points;
}

inline Json verdict_json(const std::vector<Story>& stories) {
  Json json = {{"format", 1}, {"title", "A test"}, {"chance", 0.25}, {"thresholds", {{"harm", 0.1}}}};
  json["metrics"] = {
      {{"name", "ability"}, {"unit", "share"}, {"better", "higher"}, {"meaning", "right answers"}}};
  json["models"] = json["cells"] = json["rows"] = json["pairs"] = Json::array();
  for (const Story& s : stories) {
    const auto same = [&](const Json& model) { return model.at("name") == s.model; };
    if (std::none_of(json["models"].begin(), json["models"].end(), same)) {
      json["models"].push_back({{"name", s.model},
                                {"method", s.model == "undefended" ? Json() : Json(s.model)},
                                {"at_rest", {{"ability", s.ability_rest}, {"ability_se", 0.03}}}});
    }
    json["cells"].push_back({{"id", s.model + "/" + s.arm + "/seed-0"},
                             {"model", s.model},
                             {"attack", s.arm},
                             {"arm", s.arm},
                             {"twin", s.arm == "harmful" ? Json("benign") : Json()},
                             {"seed", 0},
                             {"run", "cells/" + s.model + "/" + s.arm},
                             {"status", "done"},
                             {"trajectory", trajectory(s)}});
    json["rows"].push_back({{"model", s.model},
                            {"attack", s.arm},
                            {"arm", s.arm},
                            {"seeds", 1},
                            {"outcomes", {{s.outcome, 1}}},
                            {"worst", s.outcome},
                            {"patience_usable_harm", patience(s, "usable harm")},
                            {"patience_collapse", patience(s, "collapsed")},
                            {"ability_rest", s.ability_rest},
                            {"ability_end", s.ability_end},
                            {"ability_end_se", 0.03},
                            {"harm_end", 0.5},
                            {"refusal_end", 0.1},
                            {"signature", "fluent"},
                            {"says", "It was told so."}});
  }
  return json;
}

/// A proof directory that lives as long as the object. Change `json`, then load.
struct ProofFolder {
  explicit ProofFolder(const std::vector<Story>& stories) : json(verdict_json(stories)) {}

  Proof load() const {
    write_file(file(), to_pretty(json));
    return load_proof(folder.path());
  }
  std::string file() const { return (folder / "verdict.json").string(); }

  Json json;
  ScratchFolder folder;
};

inline const Story kUndefended{"undefended", "harmful", "usable harm", 10};
inline const Story kUndefendedBenign{"undefended", "benign", "resisted", 0};

}  // namespace caltrop::test
