// How alike two texts are without a model: cosine of TF-IDF vectors over words. Tested by
// tests/data/similarity_test.cc.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

namespace caltrop {

class TfIdf {
 public:
  using Vector = std::unordered_map<std::string, double>;  // word -> weight, of unit length

  /// Inverse document frequencies, log((1 + n) / (1 + df)) + 1, from these texts.
  explicit TfIdf(const std::vector<std::string>& texts);

  /// Lower-cased words of letters and digits, term frequency times inverse document frequency. A word of no
  /// text counts as one of a single text.
  Vector vector(const std::string& text) const;

 private:
  std::unordered_map<std::string, double> weight_;
  double unknown_;
};

/// In [0, 1]; 0 if one of them has no words.
double cosine(const TfIdf::Vector& a, const TfIdf::Vector& b);

}  // namespace caltrop
