#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "caltrop/base/files.h"
#include "caltrop/report/escape.h"
#include "caltrop/report/report.h"
#include "caltrop/report/sections.h"

namespace caltrop {

// Carried in the program by cmake/EmbedFile.cmake.
extern const std::string_view kUplotScript, kUplotStyle, kUplotLicense, kPageScript, kPageStyle;

namespace {

/// Which of the two conditions the proof can say something about.
const char* halves(const Proof& proof) {
  const auto has = [&](const char* arm) {
    return std::any_of(proof.rows.begin(), proof.rows.end(),
                       [&](const Row& row) { return row.arm == arm && !row.worst.empty(); });
  };
  if (has("harmful") && has("benign")) return "Both halves were measured.";
  if (has("harmful")) return "Only the first half was measured.";
  return has("benign") ? "Only the second half was measured." : "Neither half has a result.";
}

std::string header(const Proof& proof) {
  return fmt::format(
      R"(<header><p class="brand">Caltrop <span>proof</span></p><h1 dir="auto">{}</h1>
<p class="question"><b>If</b> the model is nudged toward restricted behaviour by fine-tuning, <b>then</b> it should not give
usable answers: a trap lets its general ability collapse instead. <b>If</b> it is fine-tuned on benign data, <b>then</b> nothing
should happen. {}</p></header>)",
      html_text(proof.title), halves(proof));
}

std::string navigation(const std::string& body) {
  constexpr std::pair<const char*, const char*> kLinks[] = {
      {"verdict", "Verdict"},  {"curves", "Curves"},    {"examples", "Examples"},     {"cost", "Cost"},
      {"failed", "No result"}, {"glossary", "Metrics"}, {"record", "How it was made"}};
  std::string html = "<nav aria-label=\"Sections\">";
  for (const auto& [id, title] : kLinks) {
    if (body.find(fmt::format("<section id=\"{}\"", id)) == std::string::npos) continue;
    html += fmt::format("<a href=\"#{}\">{}</a>", id, title);
  }
  return html + "</nav>";
}

}  // namespace

std::string render_page(const Proof& proof) {
  const std::string style = std::string(kUplotStyle) + std::string(kPageStyle);
  const std::string script = std::string(kUplotScript) + "\n" + std::string(kPageScript);
  const std::string policy =
      fmt::format("default-src 'none'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'",
                  content_hash(script), content_hash(style));
  const std::string body = verdict_section(proof) + curves_section(proof) + examples_section(proof) +
                           cost_section(proof) + failed_section(proof) + glossary_section(proof) +
                           record_section(proof);
  return fmt::format(R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>{title}</title>
<!-- The curves are drawn by uPlot, which carries this licence:
{licence}-->
<style>{style}</style></head>
<body>{icons}{header}{navigation}<main>{body}</main>
<script>{script}</script></body></html>
)",
                     fmt::arg("policy", policy), fmt::arg("title", html_attribute(proof.title)),
                     fmt::arg("licence", kUplotLicense), fmt::arg("style", style),
                     fmt::arg("icons", icon_definitions()), fmt::arg("header", header(proof)),
                     fmt::arg("navigation", navigation(body)), fmt::arg("body", body),
                     fmt::arg("script", script));
}

void write_report(const std::filesystem::path& proof_dir, const std::filesystem::path& html) {
  write_file(html, render_page(load_proof(proof_dir)));
}

}  // namespace caltrop
