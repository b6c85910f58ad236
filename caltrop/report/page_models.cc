#include <algorithm>

#include <fmt/format.h>

#include "caltrop/base/error.h"
#include "caltrop/base/log.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/sections.h"
#include "caltrop/report/verdict.h"
#include "caltrop/report/words.h"

namespace caltrop {
namespace {

struct CostRow {
  const char* name;
  const char* title;
  std::string (*show)(double);
};
constexpr CostRow kCosts[] = {{"steps", "Steps", brief_number},
                              {"seconds", "Time", human_seconds},
                              {"peak_memory_bytes", "Peak memory", human_bytes},
                              {"peak_device_memory_bytes", "Peak memory of the GPU", human_bytes},
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
  std::vector<std::string> about;
  if (!model.summary.empty()) about.push_back(model.summary);
  if (!model.after.empty())
    about.push_back(fmt::format("begun with {}, whose cost comes on top", model.after));
  if (!model.paper.empty()) about.push_back(fmt::format("({})", model.paper));
  const std::string name = isolated(model.name);
  return about.empty() ? name
                       : name + fmt::format("<span class=\"about\">{}</span>", html_text(join(about, " ")));
}

}  // namespace

std::string cost_section(const Proof& proof) {
  const auto is_bare = [](const ProofModel& model) { return model.is_undefended(); };
  const auto found = std::find_if(proof.models.begin(), proof.models.end(), is_bare);
  const ProofModel* bare = found == proof.models.end() ? nullptr : &*found;

  std::string html =
      "<section id=\"cost\"><h2>What hardening cost</h2><p class=\"lead\">To make each model, and what it "
      "took from it "
      "before anybody attacked. In brackets, the change against the undefended model.</p><div "
      "class=\"scroll\"><table "
      "class=\"numbers costs\"><thead><tr><td></td>";
  for (const ProofModel& model : proof.models) html += "<th scope=\"col\">" + description(model) + "</th>";
  html += "</tr></thead><tbody>";
  for (const CostRow& cost : kCosts) {
    const auto counted = [&](const ProofModel& model) { return model.cost.contains(cost.name); };
    if (std::none_of(proof.models.begin(), proof.models.end(), counted)) continue;
    html += fmt::format("<tr><th scope=\"row\">{}</th>", cost.title);
    for (const ProofModel& model : proof.models)
      html += "<td>" + number_in(model.cost, cost.name, cost.show) + "</td>";
    html += "</tr>";
  }
  for (const MetricDeclaration& metric : proof.metrics) {
    const auto measured = [&](const ProofModel& model) { return model.at_rest.contains(metric.name); };
    if (std::none_of(proof.models.begin(), proof.models.end(), measured)) continue;
    html += fmt::format("<tr><th scope=\"row\">{} at rest</th>", html_text(metric.name));
    for (const ProofModel& model : proof.models)
      html += "<td>" + at_rest_value(metric, model, bare) + "</td>";
    html += "</tr>";
  }
  return html + "</tbody></table></div></section>";
}

}  // namespace caltrop
