#include "caltrop/data/similarity.h"

#include <cctype>
#include <cmath>
#include <set>

namespace caltrop {
namespace {

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> found;
  std::string word;
  for (const char c : text + " ") {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!word.empty()) {
      found.push_back(std::move(word));
      word.clear();
    }
  }
  return found;
}

}  // namespace

TfIdf::TfIdf(const std::vector<std::string>& texts) {
  std::unordered_map<std::string, double> documents;
  for (const std::string& text : texts) {
    const std::vector<std::string> list = words(text);
    for (const std::string& word : std::set<std::string>(list.begin(), list.end())) documents[word] += 1;
  }
  const auto n = static_cast<double>(texts.size());
  for (const auto& [word, count] : documents) weight_[word] = std::log((1 + n) / (1 + count)) + 1;
  unknown_ = std::log((1 + n) / 2) + 1;
}

TfIdf::Vector TfIdf::vector(const std::string& text) const {
  Vector v;
  for (const std::string& word : words(text)) {
    const auto found = weight_.find(word);
    v[word] += found == weight_.end() ? unknown_ : found->second;
  }
  double square = 0;
  for (const auto& [word, weight] : v) square += weight * weight;
  for (auto& [word, weight] : v) weight /= std::sqrt(square);
  return v;
}

double cosine(const TfIdf::Vector& a, const TfIdf::Vector& b) {
  double sum = 0;
  for (const auto& [word, weight] : a) {
    if (const auto found = b.find(word); found != b.end()) sum += weight * found->second;
  }
  return sum;
}

}  // namespace caltrop
