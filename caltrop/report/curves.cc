#include "caltrop/report/curves.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "caltrop/report/escape.h"

namespace caltrop {
namespace {

struct Shown {
  const char* metric;
  const char* title;
};
constexpr Shown kShown[] = {{"useful_rate", "Useful restricted answers"},
                            {"harm_rate_lexicon", "Harm, lexicon judge alone"},
                            {"harm_rate_classifier", "Harm, classifier judge alone"},
                            {"refusal_rate", "Refusals of restricted prompts"},
                            {"ability", "General ability"},
                            {"coherent_benign", "Coherent benign answers"}};

/// The line that a curve is to be read against, if there is one.
void set_level(const Proof& proof, Panel& panel) {
  const auto harm = proof.thresholds.find("harm");
  if (panel.metric == "ability" && proof.chance) {
    panel.level = proof.chance, panel.level_name = "guessing";
  } else if (panel.metric == "useful_rate" && harm != proof.thresholds.end()) {
    panel.level = harm->second, panel.level_name = "counts as harm above";
  }
}

std::vector<const Cell*> cells_of(const Proof& proof, const std::string& model, const std::string& attack) {
  std::vector<const Cell*> cells;
  for (const Cell& cell : proof.cells) {
    if (cell.model == model && cell.attack == attack && !cell.trajectory.empty()) cells.push_back(&cell);
  }
  return cells;
}

std::optional<double> value_at(const Cell& cell, int64_t step, const std::string& metric) {
  for (const TrajectoryPoint& point : cell.trajectory) {
    const auto it = point.metrics.find(metric);
    if (point.step == step && it != point.metrics.end()) return it->second;
  }
  return std::nullopt;
}

Curve make_curve(const std::vector<const Cell*>& cells, const std::string& metric,
                 const std::vector<int64_t>& steps) {
  Curve curve;
  curve.model = cells.front()->model, curve.attack = cells.front()->attack, curve.arm = cells.front()->arm;
  curve.seeds = static_cast<int64_t>(cells.size());
  for (const int64_t step : steps) {
    std::vector<double> values;
    for (const Cell* cell : cells) {
      if (const auto value = value_at(*cell, step, metric)) values.push_back(*value);
    }
    std::optional<double> mean, low, high;
    if (!values.empty()) {
      double sum = 0;
      for (const double value : values) sum += value;
      mean = sum / static_cast<double>(values.size());
      low = *std::min_element(values.begin(), values.end());
      high = *std::max_element(values.begin(), values.end());
    }
    curve.mean.push_back(mean), curve.low.push_back(low), curve.high.push_back(high);
  }
  return curve;
}

Figure make_figure(const Proof& proof, const std::vector<std::string>& models, const std::string& attack,
                   const std::string& twin) {
  Figure figure;
  figure.model = models.back(), figure.attack = attack, figure.twin = twin;
  std::vector<std::vector<const Cell*>> groups;
  std::set<int64_t> steps;
  for (const std::string& model : models) {
    for (const std::string& arm : {attack, twin}) {
      auto cells = cells_of(proof, model, arm);
      if (cells.empty()) continue;
      for (const Cell* cell : cells) {
        for (const TrajectoryPoint& point : cell->trajectory) steps.insert(point.step);
      }
      groups.push_back(std::move(cells));
    }
  }
  for (const auto& [metric, title] : kShown) {
    Panel panel{metric, title, std::nullopt, "", {steps.begin(), steps.end()}, {}};
    set_level(proof, panel);
    for (const auto& cells : groups) {
      Curve curve = make_curve(cells, panel.metric, panel.steps);
      curve.defended = !proof.find_model(curve.model)->is_undefended();
      const bool measured =
          std::any_of(curve.mean.begin(), curve.mean.end(), [](const auto& v) { return v.has_value(); });
      if (measured) panel.curves.push_back(std::move(curve));
    }
    if (!panel.curves.empty()) figure.panels.push_back(std::move(panel));
  }
  return figure;
}

Json values(const std::vector<std::optional<double>>& numbers) {
  Json list = Json::array();
  for (const auto& number : numbers) list.push_back(number ? Json(*number) : Json());
  return list;
}

}  // namespace

std::vector<Figure> make_figures(const Proof& proof) {
  std::vector<std::string> bare, defended;
  for (const ProofModel& model : proof.models)
    (model.is_undefended() ? bare : defended).push_back(model.name);

  std::vector<std::pair<std::string, std::string>>
      attacks;  // with twin; a benign attack that is no twin stands alone
  std::set<std::string> twins;
  for (const Cell& cell : proof.cells) {
    if (cell.arm == "harmful") twins.insert(cell.twin);
  }
  for (const Cell& cell : proof.cells) {
    const std::pair attack(cell.attack, cell.arm == "harmful" ? cell.twin : "");
    const bool is_twin = cell.arm == "benign" && twins.contains(cell.attack);
    if (!is_twin && std::find(attacks.begin(), attacks.end(), attack) == attacks.end())
      attacks.push_back(attack);
  }

  std::vector<Figure> figures;
  const auto add = [&](const std::vector<std::string>& models) {
    for (const auto& [attack, twin] : attacks) {
      Figure figure = make_figure(proof, models, attack, twin);
      if (figure.panels.empty()) continue;
      figure.id = fmt::format("figure-{}", figures.size());
      figures.push_back(std::move(figure));
    }
  };
  for (const std::string& model : defended) {
    std::vector<std::string> models = bare;
    models.push_back(model);
    add(models);
  }
  if (defended.empty() && !bare.empty()) add(bare);
  return figures;
}

Json figures_json(const std::vector<Figure>& figures) {
  Json json = Json::array();
  for (const Figure& figure : figures) {
    Json panels = Json::array();
    for (const Panel& panel : figure.panels) {
      Json curves = Json::array();
      for (const Curve& curve : panel.curves) {
        curves.push_back({{"label", terminal_text(curve.model + ", " + curve.attack)},
                          {"defended", curve.defended},
                          {"harmful", curve.arm == "harmful"},
                          {"mean", values(curve.mean)},
                          {"low", values(curve.low)},
                          {"high", values(curve.high)}});
      }
      panels.push_back({{"metric", panel.metric},
                        {"title", panel.title},
                        {"level", panel.level ? Json(*panel.level) : Json()},
                        {"level_name", panel.level_name},
                        {"steps", panel.steps},
                        {"curves", curves}});
    }
    json.push_back({{"id", figure.id}, {"panels", panels}});
  }
  return json;
}

}  // namespace caltrop
