#include "caltrop/eval/choices.h"

#include <cmath>

#include "caltrop/base/error.h"
#include "caltrop/base/json.h"

namespace caltrop {

std::vector<ChoiceQuestion> load_choices(const std::filesystem::path& path) {
  std::vector<ChoiceQuestion> questions;
  read_json_lines(path, [&](const Json& row, int64_t line) {
    const std::string where = fmt::format("{}:{}", path.string(), line);
    ChoiceQuestion q;
    q.kind = optional<std::string>(row, "kind", where, "");
    q.prompt = required<std::string>(row, "prompt", where);
    const Json choices = required<Json>(row, "choices", where);
    if (!choices.is_array() || choices.size() < 2)
      throw UserError("{}: 'choices' is {}, want a list of two or more texts", where, to_line(choices));
    for (const Json& choice : choices) {
      if (!choice.is_string() || choice.get<std::string>().empty())
        throw UserError("{}: the choice {} is no text", where, to_line(choice));
      q.choices.push_back(choice.get<std::string>());
    }
    q.answer = required<int64_t>(row, "answer", where);
    if (q.answer < 0 || q.answer >= static_cast<int64_t>(q.choices.size())) {
      throw UserError("{}: 'answer' is {}, want 0 to {}", where, q.answer, q.choices.size() - 1);
    }
    const auto scoring = optional<std::string>(row, "scoring", where, "sum");
    if (scoring != "sum" && scoring != "per_byte")
      throw unknown_name(where, "scoring", scoring, {"sum", "per_byte"});
    q.per_byte = scoring == "per_byte";
    const auto format = optional<std::string>(row, "format", where, "chat");
    if (format != "chat" && format != "plain") throw unknown_name(where, "format", format, {"chat", "plain"});
    q.chat = format == "chat";
    questions.push_back(std::move(q));
  });
  if (questions.empty()) throw UserError("{}: holds no questions", path.string());
  return questions;
}

ChoicesTest::ChoicesTest(std::vector<ChoiceQuestion> questions, const ChatEncoder& encoder, int64_t limit) {
  const auto all = static_cast<int64_t>(questions.size());
  const int64_t count = limit > 0 ? std::min(limit, all) : all;
  for (int64_t i = 0; i < count; ++i) questions_.push_back(questions[static_cast<size_t>(i * all / count)]);
  for (const ChoiceQuestion& q : questions_) {
    for (const std::string& choice : q.choices)
      rows_.push_back(encoder.encode_continuation(q.prompt, choice, q.chat));
  }
}

ChoicesResult ChoicesTest::run(const Model& model) const {
  const std::vector<AnswerLikelihood> likelihoods = answer_likelihoods(model, rows_);
  ChoicesResult result;
  double right = 0;
  size_t row = 0;
  for (const ChoiceQuestion& q : questions_) {
    size_t best = 0;
    double best_score = 0;
    bool finite = true;  // a model that computes NaN knows nothing: the question counts as wrong
    for (size_t i = 0; i < q.choices.size(); ++i, ++row) {
      double score = -likelihoods[row].nll;
      if (q.per_byte) score /= static_cast<double>(q.choices[i].size());
      CALTROP_ASSERT(likelihoods[row].tokens > 0, "a choice without tokens");
      finite = finite && std::isfinite(score);
      if (i == 0 || score > best_score) best = i, best_score = score;
    }
    right += finite && best == static_cast<size_t>(q.answer) ? 1 : 0;
    result.chance += 1.0 / static_cast<double>(q.choices.size());
  }
  result.questions = static_cast<int64_t>(questions_.size());
  const auto n = static_cast<double>(result.questions);
  result.accuracy = right / n;
  result.chance /= n;
  result.standard_error = std::sqrt(result.accuracy * (1 - result.accuracy) / n);
  return result;
}

}  // namespace caltrop
