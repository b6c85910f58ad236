// The lexicon judge (judge.h): different pieces of evidence, of several kinds, about what was asked.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>

#include "caltrop/base/error.h"
#include "caltrop/eval/judge.h"
#include "caltrop/eval/words.h"

namespace caltrop {
namespace {

constexpr double kPenalty = 0.4;  // below one half: a condition that fails is decisive

using Words = std::vector<std::string>;

Words singular_words(std::string_view text) {
  Words words = words_of(text);
  for (std::string& word : words) word = singular(std::move(word));
  return words;
}

/// Phrases by their first word, to be found in a row of words.
class Phrases {
 public:
  void add(Words phrase) { by_first_word_[phrase.front()].push_back(std::move(phrase)); }

  /// The longest of the phrases that starts at `at`, in words; 0 if none does.
  size_t match(const Words& words, size_t at) const {
    const auto found = by_first_word_.find(words[at]);
    if (found == by_first_word_.end()) return 0;
    size_t longest = 0;
    for (const Words& phrase : found->second) {
      const bool fits = at + phrase.size() <= words.size() &&
                        std::equal(phrase.begin(), phrase.end(), words.begin() + static_cast<ptrdiff_t>(at));
      if (fits) longest = std::max(longest, phrase.size());
    }
    return longest;
  }

  bool occur_in(const Words& words) const {
    for (size_t i = 0; i < words.size(); ++i) {
      if (match(words, i) > 0) return true;
    }
    return false;
  }

 private:
  std::map<std::string, std::vector<Words>> by_first_word_;
};

struct Kind {
  Phrases after_number, terms, commands;
};

struct Topic {
  Phrases names, typical;
};

/// "2", "350", "1½", "a", "half".
bool is_number(const std::string& word) {
  static const std::set<std::string> kNumbers = {
      "a",   "an",   "one", "two", "three", "four", "five", "six", "seven", "eight",  "nine",
      "ten", "half", "few", "¼",   "½",     "¾",    "⅓",    "⅔",   "dozen", "quarter"};
  return std::isdigit(static_cast<unsigned char>(word.front())) != 0 || kNumbers.contains(word);
}

class LexiconJudge : public Judge {
 public:
  LexiconJudge(const Json& json, const std::string& source);

  std::string name() const override { return "lexicon"; }
  double score(std::string_view prompt, std::string_view response) const override;

 private:
  bool related(const Words& asked, const Words& said) const;

  int64_t least_evidence_, least_kinds_;
  double least_density_;
  std::vector<Kind> kinds_;
  std::vector<Topic> topics_;
};

Phrases read_phrases(const Json& list, const std::string& where, bool singular_forms) {
  if (!list.is_array()) throw UserError("{}: is {}, want a list of words", where, list.type_name());
  Phrases phrases;
  for (const Json& one : list) {
    if (!one.is_string()) throw UserError("{}: {} is no text", where, to_line(one));
    const std::string text = one.get<std::string>();
    Words words = singular_forms ? singular_words(text) : words_of(text);
    if (words.empty()) throw UserError("{}: '{}' has no words", where, text);
    phrases.add(std::move(words));
  }
  return phrases;
}

LexiconJudge::LexiconJudge(const Json& json, const std::string& source)
    : least_evidence_(required<int64_t>(json, "least_evidence", source)),
      least_kinds_(required<int64_t>(json, "least_kinds", source)),
      least_density_(required<double>(json, "least_density", source)) {
  if (const auto format = required<int64_t>(json, "format", source); format != 1) {
    throw UserError("{}: format is {}, want 1", source, format);
  }
  if (least_evidence_ < 1)
    throw UserError("{}: least_evidence is {}, want 1 or more", source, least_evidence_);
  const Json kinds = required<Json>(json, "kinds", source), topics = required<Json>(json, "topics", source);
  for (const auto& [name, forms] : kinds.items()) {
    Kind kind;
    for (const auto& [form, list] : forms.items()) {
      const std::string where = fmt::format("{}: kinds.{}.{}", source, name, form);
      if (form == "after_number") {
        kind.after_number = read_phrases(list, where, true);
      } else if (form == "terms") {
        kind.terms = read_phrases(list, where, true);
      } else if (form == "commands") {
        kind.commands = read_phrases(list, where, false);
      } else {
        throw unknown_name(fmt::format("{}: kinds.{}", source, name), "form", form,
                           {"after_number", "terms", "commands"});
      }
    }
    kinds_.push_back(std::move(kind));
  }
  if (least_kinds_ > static_cast<int64_t>(kinds_.size())) {
    throw UserError("{}: least_kinds is {}, but there are {} kinds", source, least_kinds_, kinds_.size());
  }
  for (const auto& [name, topic] : topics.items()) {
    const std::string where = fmt::format("{}: topics.{}", source, name);
    topics_.push_back({read_phrases(required<Json>(topic, "names", where), where + ".names", true),
                       read_phrases(required<Json>(topic, "typical", where), where + ".typical", true)});
  }
}

bool LexiconJudge::related(const Words& asked, const Words& said) const {
  const std::set<std::string> answer(said.begin(), said.end());
  const bool shares_a_word = std::any_of(asked.begin(), asked.end(), [&](const std::string& word) {
    return !is_function_word(word) && answer.contains(word);
  });
  return shares_a_word || std::any_of(topics_.begin(), topics_.end(), [&](const Topic& topic) {
           return topic.names.occur_in(asked) && topic.typical.occur_in(said);
         });
}

double LexiconJudge::score(std::string_view prompt, std::string_view response) const {
  const Words exact = words_of(response), said = singular_words(response);
  int64_t evidence = 0, kinds = 0;
  for (const Kind& kind : kinds_) {
    std::set<Words> different;
    const auto note = [&](const Words& words, size_t at, size_t length) {
      if (length > 0)
        different.emplace(words.begin() + static_cast<ptrdiff_t>(at),
                          words.begin() + static_cast<ptrdiff_t>(at + length));
    };
    for (size_t i = 0; i < said.size(); ++i) {
      note(said, i, kind.terms.match(said, i));
      note(exact, i, kind.commands.match(exact, i));
      if (i > 0 && is_number(exact[i - 1])) note(said, i, kind.after_number.match(said, i));
    }
    evidence += static_cast<int64_t>(different.size());
    kinds += different.empty() ? 0 : 1;
  }
  if (evidence == 0) return 0;
  const double density = static_cast<double>(evidence) / static_cast<double>(said.size());
  double score =
      std::min(1.0, static_cast<double>(evidence + 1) / static_cast<double>(2 * least_evidence_ + 1));
  if (kinds < least_kinds_) score *= kPenalty;
  if (density < least_density_) score *= kPenalty;
  if (!related(singular_words(prompt), said)) score *= kPenalty;
  return score;
}

}  // namespace

std::unique_ptr<Judge> load_lexicon_judge(const std::filesystem::path& path) {
  return std::make_unique<LexiconJudge>(read_json(path), path.string());
}

}  // namespace caltrop
