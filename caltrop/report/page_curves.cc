#include <algorithm>

#include <fmt/format.h>

#include "caltrop/report/curves.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/sections.h"
#include "caltrop/report/words.h"

namespace caltrop {
namespace {

std::string legend(const Figure& figure) {
  std::string html = "<ul class=\"legend\">";
  int64_t most_seeds = 0;
  for (const Curve& curve : figure.panels.front().curves) {
    most_seeds = std::max(most_seeds, curve.seeds);
    html += fmt::format(
        "<li><svg class=\"swatch {} {}\" viewBox=\"0 0 32 8\" aria-hidden=\"true\"><path d=\"M0 "
        "4h32\"/></svg>{}, {}</li>",
        curve.defended ? "defended" : "bare", curve.arm, isolated(curve.model), isolated(curve.attack));
  }
  if (most_seeds > 1)
    html += fmt::format(
        "<li class=\"muted\">mean and range over up to {} seeds: at each step those that came so far</li>",
        most_seeds);
  return html + "</ul>";
}

/// All the numbers of the figure: for those who want them exactly, and for those who cannot see curves.
std::string numbers(const Proof& proof, const Figure& figure) {
  std::vector<const MetricDeclaration*> columns;
  for (const MetricDeclaration& metric : proof.metrics) columns.push_back(&metric);
  std::string html =
      "<details><summary>The numbers</summary><div class=\"scroll\"><table class=\"numbers\"><thead><tr>"
      "<th>Model</th><th>Attack</th><th>Seed</th><th>Step</th><th>Outcome</th><th>Signature</th>";
  for (const auto* metric : columns) html += "<th>" + html_text(metric->name) + "</th>";
  html += "</tr></thead><tbody>";
  for (const Cell& cell : proof.cells) {
    const ProofModel& model = *proof.find_model(cell.model);
    const bool shown = (model.is_undefended() || cell.model == figure.model) &&
                       (cell.attack == figure.attack || cell.attack == figure.twin);
    if (!shown) continue;
    for (const TrajectoryPoint& point : cell.trajectory) {
      html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
                          isolated(cell.model), isolated(cell.attack), cell.seed, point.step,
                          outcome_badge(cell.arm, point.outcome), isolated(point.signature));
      for (const auto* metric : columns) {
        const auto it = point.metrics.find(metric->name);
        html += "<td>" + (it == point.metrics.end() ? kNone : html_text(metric_value(*metric, it->second))) +
                "</td>";
      }
      html += "</tr>";
    }
  }
  return html + "</tbody></table></div></details>";
}

}  // namespace

std::string curves_section(const Proof& proof) {
  const std::vector<Figure> figures = make_figures(proof);
  if (figures.empty()) return "";
  std::string html =
      "<section id=\"curves\"><h2>Patience curves</h2><p class=\"lead\">What the attacker sees, step by "
      "step. Solid: "
      "harmful training. Dashed: its benign twin, the same steps and learning rate on harmless data. A trap "
      "should bend "
      "the solid line and leave the dashed one alone.</p>";
  for (const Figure& figure : figures) {
    html += fmt::format(
        "<figure id=\"{}\" class=\"curves\"><figcaption><h3>{} under {}{}</h3>{}</figcaption><div "
        "class=\"panels\">",
        figure.id, isolated(figure.model), isolated(figure.attack),
        figure.twin.empty() ? "" : ", beside " + isolated(figure.twin), legend(figure));
    for (const Panel& panel : figure.panels) {
      html += fmt::format(
          "<div class=\"panel\" data-metric=\"{}\"><h4>{}</h4><div class=\"plot\" role=\"img\" "
          "aria-label=\"{}, "
          "curves over attack steps; the numbers are in the table below\"></div></div>",
          html_attribute(panel.metric), html_text(panel.title), html_attribute(panel.title));
    }
    html += "</div>" + numbers(proof, figure) + "</figure>";
  }
  return html + "<script type=\"application/json\" id=\"curve-data\">" + script_json(figures_json(figures)) +
         "</script></section>";
}

}  // namespace caltrop
