#include "caltrop/text/pre_tokenizer.h"

#include <algorithm>
#include <map>
#include <string>

#include "caltrop/text/utf8.h"

namespace caltrop {
namespace {

// openai/gpt-2: src/encoder.py
constexpr std::string_view kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct Part {
  Span span;
  bool is_match;
};

// The matches in a word and what lies between them.
std::vector<Part> find_parts(const Regex& regex, std::string_view word, bool invert) {
  std::vector<Part> parts;
  size_t done = 0;
  std::optional<size_t> last_end;
  for (size_t from = 0; from <= word.size();) {
    const auto match = regex.find(word, from);
    if (!match) break;
    if (match->size() == 0 && match->begin == last_end) {  // again nothing, where the last match ended
      from += from < word.size() ? utf8_length(word[from]) : 1;
      continue;
    }
    if (done < match->begin) parts.push_back({{done, match->begin}, invert});
    parts.push_back({*match, !invert});
    done = match->end;
    last_end = from = done;
  }
  if (done < word.size()) parts.push_back({{done, word.size()}, invert});
  return parts;
}

// Puts spaces before words that do not start with one. A space that was put there comes from no byte.
AlignedText add_prefix_spaces(const AlignedText& text, std::vector<Span>& words) {
  std::string to;
  std::vector<Span> origins;
  for (Span& word : words) {
    const size_t begin = to.size();
    if (text.view()[word.begin] != ' ') {
      const size_t at = text.origin({word.begin, word.begin + 1}).begin;
      to += ' ';
      origins.push_back({at, at});
    }
    for (size_t i = word.begin; i < word.end; ++i) origins.push_back(text.origin({i, i + 1}));
    to += text.view().substr(word.begin, word.size());
    word = {begin, to.size()};
  }
  return {std::move(to), std::move(origins)};
}

}  // namespace

PreTokenizer::PreTokenizer(const Component& component) { add(component); }

void PreTokenizer::add(const Component& component) {
  if (byte_level_) {
    throw UserError(
        "{}: a pre-tokenizer after ByteLevel would see bytes instead of text, which Caltrop does not support",
        component.where());
  }
  const std::string type = component.type();
  if (type == "Sequence") {
    component.only({"pretokenizers"});
    for (const Component& member : component.members("pretokenizers")) add(member);
  } else if (type == "Split") {
    add_split(component);
  } else if (type == "Digits") {
    component.only({"individual_digits"});
    const bool each = component.flag("individual_digits");
    splitters_.push_back({Regex(each ? "\\p{N}" : "\\p{N}+", component.where()), Behavior::kIsolated, false});
  } else if (type == "ByteLevel") {
    add_byte_level(component);
  } else {
    throw component.unknown_type({"Split", "Digits", "ByteLevel", "Sequence"});
  }
}

void PreTokenizer::add_split(const Component& component) {
  component.only({"pattern", "behavior", "invert"});
  const Json pattern = required<Json>(component.json(), "pattern", component.where());
  if (!pattern.is_object() || pattern.size() != 1 || !pattern.front().is_string() ||
      pattern.front().get<std::string>().empty()) {
    throw UserError("{}: 'pattern' is {}, want {{\"Regex\": …}} or {{\"String\": …}}", component.where(),
                    to_line(pattern));
  }
  const std::string kind = pattern.begin().key();
  const std::string text = pattern.front().get<std::string>();
  if (kind != "Regex" && kind != "String") {
    throw UserError("{}: Caltrop knows no pattern of type '{}'; it knows: Regex, String", component.where(),
                    kind);
  }

  static const std::map<std::string, Behavior> behaviors = {
      {"Isolated", Behavior::kIsolated},
      {"Removed", Behavior::kRemoved},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous},
  };
  const std::string behavior = component.text("behavior");
  if (!behaviors.contains(behavior)) {
    std::vector<std::string> known;
    for (const auto& [name, value] : behaviors) known.push_back(name);
    throw UserError("{}: Caltrop knows no behavior '{}'; it knows: {}", component.where(), behavior,
                    join(known));
  }
  splitters_.push_back(
      {kind == "Regex" ? Regex(text, component.where()) : Regex::literally(text, component.where()),
       behaviors.at(behavior), component.flag("invert")});
}

void PreTokenizer::add_byte_level(const Component& component) {
  component.only({"add_prefix_space", "trim_offsets", "use_regex"});
  component.flag("trim_offsets", true);  // about spans that the reference would report, never about ids
  if (component.flag("add_prefix_space")) prefix_space_before_ = splitters_.size();
  if (component.flag("use_regex", true)) {
    splitters_.push_back({Regex(kGpt2Words, component.where()), Behavior::kIsolated, false});
  }
  byte_level_ = true;
}

void PreTokenizer::Splitter::split(std::string_view text, Span word, std::vector<Span>& out) const {
  const auto keep = [&](Span span) {
    if (span.size() > 0) out.push_back({word.begin + span.begin, word.begin + span.end});
  };
  const std::string_view bytes = text.substr(word.begin, word.size());
  std::vector<Part> parts = find_parts(regex, bytes, invert);

  if (behavior == Behavior::kIsolated || behavior == Behavior::kRemoved) {
    for (const Part& part : parts) {
      if (behavior == Behavior::kIsolated || !part.is_match) keep(part.span);
    }
    return;
  }

  // The others put some parts together with the one before; MergedWithNext is MergedWithPrevious from right
  // to left.
  const bool backwards = behavior == Behavior::kMergedWithNext;
  if (backwards) std::reverse(parts.begin(), parts.end());
  std::vector<Span> merged;
  bool previous_is_match = false;
  for (const Part& part : parts) {
    const bool merge = behavior == Behavior::kContiguous ? part.is_match == previous_is_match
                                                         : part.is_match && !previous_is_match;
    if (merge && !merged.empty()) {
      (backwards ? merged.back().begin : merged.back().end) = backwards ? part.span.begin : part.span.end;
    } else {
      merged.push_back(part.span);
    }
    previous_is_match = part.is_match;
  }
  if (backwards) std::reverse(merged.begin(), merged.end());
  for (const Span span : merged) keep(span);
}

void PreTokenizer::split(AlignedText& text, std::vector<Span>& words) const {
  words.assign(text.view().empty() ? 0 : 1, Span{0, text.view().size()});
  std::vector<Span> before;
  for (size_t i = 0; i <= splitters_.size(); ++i) {
    if (prefix_space_before_ == i) text = add_prefix_spaces(text, words);
    if (i == splitters_.size()) break;
    before.swap(words);
    words.clear();
    for (const Span word : before) splitters_[i].split(text.view(), word, words);
  }
}

}  // namespace caltrop
