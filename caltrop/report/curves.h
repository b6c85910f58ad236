// The curves of a proof: each metric against attack steps, a defended model beside the undefended one, the
// harmful arm beside the benign one; over seeds, the mean with the range. Tested by
// tests/report/curves_test.cc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "caltrop/base/json.h"
#include "caltrop/report/load.h"

namespace caltrop {

struct Curve {
  std::string model, attack, arm;
  bool defended = false;
  int64_t seeds = 0;
  std::vector<std::optional<double>> mean, low,
      high;  // one a step of its panel; none where nobody was measured
};

struct Panel {
  std::string metric, title;
  std::optional<double> level;  // worth a line of its own: that of guessing, or the threshold of harm
  std::string level_name;
  std::vector<int64_t> steps;
  std::vector<Curve> curves;
};

/// What one defended model (or the undefended alone, if no model is defended) went through under one attack
/// and its benign twin.
struct Figure {
  std::string id;  // for HTML: "figure-0"
  std::string model, attack, twin;
  std::vector<Panel> panels;
};

std::vector<Figure> make_figures(const Proof& proof);

/// For the page's script: [{"id", "panels": [{"metric", "title", "level", "level_name", "steps", "curves": [{"label",
/// "defended", "harmful", "mean", "low", "high"}]}]}].
Json figures_json(const std::vector<Figure>& figures);

}  // namespace caltrop
