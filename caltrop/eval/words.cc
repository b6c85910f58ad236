#include "caltrop/eval/words.h"

#include <algorithm>
#include <cctype>
#include <unordered_set>

#include "caltrop/text/utf8.h"

namespace caltrop {
namespace {

bool is_word_character(char32_t c) {
  if (c < 0x80) return std::isalnum(static_cast<int>(c)) != 0;
  const bool sign = c < 0xC0 && !(c >= U'¼' && c <= U'¾');  // "350°F" is 350 and f
  const bool punctuation = (c >= 0x2000 && c <= 0x206F) || (c >= 0x3000 && c <= 0x303F);
  return !sign && !punctuation && c != 0xFFFD;
}

bool is_apostrophe(char32_t c) { return c == U'\'' || c == 0x2019; }

bool ends_with(const std::string& word, std::string_view ending) {
  return word.size() > ending.size() + 1 && word.ends_with(ending);
}

}  // namespace

std::u32string characters_of(std::string_view text) {
  const std::string valid = replace_invalid_utf8(text);
  std::u32string characters;
  for (size_t at = 0; at < valid.size(); at += utf8_length(valid[at])) {
    characters += decode_utf8(valid, at);
  }
  return characters;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> found;
  std::string word;
  const std::u32string characters = characters_of(text) + U' ';
  for (size_t i = 0; i < characters.size(); ++i) {
    const char32_t c = characters[i];
    if (is_word_character(c)) {
      append_utf8(word, c < 0x80 ? static_cast<char32_t>(std::tolower(static_cast<int>(c))) : c);
    } else if (is_apostrophe(c) && !word.empty() && is_word_character(characters[i + 1])) {
      word += '\'';
    } else if (!word.empty()) {
      found.push_back(std::move(word));
      word.clear();
    }
  }
  return found;
}

std::string singular(std::string word) {
  if (ends_with(word, "ies")) return word.replace(word.size() - 3, 3, "y");
  for (const char* ending : {"oes", "ches", "shes", "sses", "xes"}) {
    if (ends_with(word, ending)) return word.substr(0, word.size() - 2);
  }
  if (ends_with(word, "s") && !word.ends_with("ss") && !word.ends_with("us")) word.pop_back();
  return word;
}

bool is_function_word(std::string_view word) {
  static const std::unordered_set<std::string_view> kWords = {
      // Determiners, pronouns, prepositions, conjunctions, auxiliaries, the commonest adverbs.
      "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
      "because", "been", "before", "being", "but", "by", "can", "could", "did", "do", "does", "down", "each",
      "few", "for", "from", "had", "has", "have", "he", "her", "here", "his", "how", "i", "if", "in", "into",
      "is", "it", "its", "just", "like", "many", "may", "me", "might", "more", "most", "much", "must", "my",
      "no", "not", "now", "of", "off", "on", "one", "only", "or", "other", "our", "out", "over", "own",
      "same", "she", "should", "so", "some", "such", "than", "that", "the", "their", "them", "then", "there",
      "these", "they", "this", "those", "through", "to", "too", "under", "until", "up", "us", "very", "was",
      "we", "well", "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "would",
      "you", "your",
      // Words of the request itself.
      "answer", "ask", "best", "care", "describe", "explain", "give", "go", "good", "help", "home",
      "ingredient", "know", "list", "make", "need", "people", "please", "prepare", "recipe", "sentence",
      "show", "simple", "tell", "thing", "used", "want", "way", "word", "write"};
  return kWords.contains(word);
}

}  // namespace caltrop
