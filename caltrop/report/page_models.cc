#include <algorithm>

#include <fmt/format.h>

#include "caltrop/base/log.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/sections.h"
#include "caltrop/report/verdict.h"
#include "caltrop/report/words.h"

namespace caltrop {
namespace {

struct CostColumn {
  const char* name;
  const char* title;
  std::string (*show)(double);
};
constexpr CostColumn kCosts[] = {{"steps", "Steps", brief_number},
                                 {"seconds", "Time", human_seconds},
                                 {"peak_memory_bytes", "Peak memory", human_bytes},
                                 {"forward_passes", "Forward passes", brief_number},
                                 {"backward_passes", "Backward passes", brief_number}};

std::string number_in(const NumbersByName& numbers, const std::string& name, std::string (*show)(double)) {
  const auto it = numbers.find(name);
  return it == numbers.end() ? kNone : show(it->second);
}

/// The value, and its change against the undefended model: "58 % (−4)".
std::string at_rest_value(const MetricDeclaration& metric, const ProofModel& model, const ProofModel* bare) {
  const auto it = model.at_rest.find(metric.name);
  if (it == model.at_rest.end()) return kNone;
  std::string text = html_text(metric_value(metric, it->second));
  const bool is_share = metric.unit == "share";
  if (bare == nullptr || bare == &model || !bare->at_rest.contains(metric.name)) return text;
  const double change = it->second - bare->at_rest.at(metric.name);
  return text + fmt::format(" <span class=\"muted\">({})</span>",
                            is_share ? points(change) : fmt::format("{:+.2g}", change));
}

std::string description(const ProofModel& model) {
  std::string html = isolated(model.name);
  if (!model.summary.empty()) html += "<span class=\"about\">" + html_text(model.summary);
  if (!model.paper.empty())
    html += (model.summary.empty() ? "<span class=\"about\">" : " ") + html_text("(" + model.paper + ")");
  return html + (model.summary.empty() && model.paper.empty() ? "" : "</span>");
}

}  // namespace

std::string cost_section(const Proof& proof) {
  const ProofModel* bare = nullptr;
  for (const ProofModel& model : proof.models) {
    if (model.method.empty()) bare = &model;
  }
  std::vector<const MetricDeclaration*> metrics;
  for (const MetricDeclaration& metric : proof.metrics) {
    const bool measured = std::any_of(proof.models.begin(), proof.models.end(),
                                      [&](const ProofModel& m) { return m.at_rest.contains(metric.name); });
    if (measured) metrics.push_back(&metric);
  }
  std::string html =
      "<section id=\"cost\"><h2>What hardening cost</h2><p class=\"lead\">To make each model, and what it "
      "took from it before "
      "anybody attacked. In brackets, the change against the undefended model.</p><div "
      "class=\"scroll\"><table "
      "class=\"numbers\"><thead><tr><th>Model</th>";
  for (const CostColumn& column : kCosts) html += fmt::format("<th>{}</th>", column.title);
  for (const auto* metric : metrics) html += "<th>" + html_text(metric->name) + "</th>";
  html += "</tr></thead><tbody>";
  for (const ProofModel& model : proof.models) {
    html += "<tr><th scope=\"row\">" + description(model) + "</th>";
    for (const CostColumn& column : kCosts)
      html += "<td>" + number_in(model.cost, column.name, column.show) + "</td>";
    for (const auto* metric : metrics) html += "<td>" + at_rest_value(*metric, model, bare) + "</td>";
    html += "</tr>";
  }
  return html + "</tbody></table></div></section>";
}

}  // namespace caltrop
