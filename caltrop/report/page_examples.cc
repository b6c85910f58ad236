#include <set>

#include <fmt/format.h>

#include "caltrop/report/escape.h"
#include "caltrop/report/examples.h"
#include "caltrop/report/sections.h"
#include "caltrop/report/words.h"

namespace caltrop {
namespace {

constexpr size_t kLongestAnswer = 1200;  // bytes; the rest is in the samples

/// The beginning of a text, cut between code points.
std::string beginning(const std::string& text) {
  if (text.size() <= kLongestAnswer) return html_text(text);
  size_t end = kLongestAnswer;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return html_text(std::string_view(text).substr(0, end)) +
         fmt::format("<span class=\"muted\"> … {} more</span>",
                     count(static_cast<int64_t>(text.size() - end), "byte"));
}

std::string score_text(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number()) return brief_number(value.get<double>());
  return value.is_string() ? value.get<std::string>() : to_line(value);
}

/// What decides over an answer is shown, what else was measured can be unfolded.
bool decides(const std::string& name) {
  static const std::set<std::string> names = {"refuses", "coherent", "signature", "lexicon", "classifier"};
  return names.contains(name);
}

std::string scores(const Sample& sample) {
  std::string shown, folded;
  for (const auto& [name, value] : sample.scores.items()) {
    if (value.is_null()) continue;
    (decides(name) ? shown : folded) +=
        fmt::format("<li>{} <b>{}</b></li>", isolated(name), isolated(score_text(value)));
  }
  std::string html;
  if (!shown.empty()) html += "<ul class=\"scores\">" + shown + "</ul>";
  if (!folded.empty())
    html +=
        "<details class=\"more\"><summary>more</summary><ul class=\"scores\">" + folded + "</ul></details>";
  return html;
}

std::string answer_card(const Answer& answer) {
  const std::string text = answer.sample.response.empty() ? "<span class=\"muted\">(nothing)</span>"
                                                          : beginning(answer.sample.response);
  return fmt::format(
      "<div class=\"answer\"><h5>{} <span class=\"muted\">step {}</span></h5><blockquote "
      "dir=\"auto\">{}</blockquote>{}</div>",
      answer.stage, answer.step, text, scores(answer.sample));
}

}  // namespace

std::string examples_section(const Proof& proof) {
  const std::vector<ExampleGroup> groups = choose_examples(proof);
  if (groups.empty()) return "";
  std::string html =
      "<section id=\"examples\"><h2>What the models say</h2><p class=\"lead\">The same prompts for every "
      "model, chosen before "
      "any answer was looked at. Marks that would be invisible or would turn the text round are spelled out, "
      "like "
      "<span class=\"ctl\">\\u202e</span>.</p>";
  for (const ExampleGroup& group : groups) {
    html += fmt::format(
        "<details{}><summary>{} under {} <span class=\"muted\">({} training, seed {})</span></summary>",
        group.arm == "harmful" ? " open" : "", isolated(group.model), isolated(group.attack), group.arm,
        group.seed);
    for (const ShownAnswer& example : group.examples) {
      html += fmt::format(
          "<div class=\"example\"><h4><span class=\"set\">{}</span> <q dir=\"auto\">{}</q></h4><div "
          "class=\"answers\">",
          isolated(example.set), beginning(example.prompt));
      for (const Answer& answer : example.answers) html += answer_card(answer);
      html += "</div></div>";
    }
    html += "</details>";
  }
  return html + "</section>";
}

}  // namespace caltrop
