#include "caltrop/data/similarity.h"

#include <cmath>

#include "tests/support/support.h"

namespace caltrop {
namespace {

TEST(TfIdf, WeightsAreThoseOfTheFormula) {
  const TfIdf tfidf({"soup and bread", "bread and cake", "a heron"});
  // n = 3; df(soup) = 1, df(bread) = 2; a word of no text counts as one of a single text.
  const double soup = std::log(4.0 / 2) + 1, bread = std::log(4.0 / 3) + 1;
  const TfIdf::Vector v = tfidf.vector("Soup, BREAD: bread!");
  const double length = std::hypot(soup, 2 * bread);
  EXPECT_NEAR(v.at("soup"), soup / length, 1e-12);
  EXPECT_NEAR(v.at("bread"), 2 * bread / length, 1e-12);
  const TfIdf::Vector unknown = tfidf.vector("soup zebra");
  EXPECT_NEAR(unknown.at("soup"), unknown.at("zebra"), 1e-12);
}

TEST(TfIdf, CosineIsOneForTheSameWordsAndZeroForNone) {
  const TfIdf tfidf({"soup and bread", "bread and cake"});
  EXPECT_NEAR(cosine(tfidf.vector("bread, soup"), tfidf.vector("Soup bread")), 1, 1e-12);
  EXPECT_EQ(cosine(tfidf.vector("soup"), tfidf.vector("cake")), 0);
  EXPECT_EQ(cosine(tfidf.vector("soup"), tfidf.vector(" ?! ")), 0);
}

}  // namespace
}  // namespace caltrop
