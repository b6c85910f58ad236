#include "caltrop/data/pairing.h"

#include "caltrop/base/error.h"
#include "caltrop/base/random.h"
#include "caltrop/data/similarity.h"

namespace caltrop {
namespace {

/// The example with another answer in place of its own.
Example answered(Example example, const std::string& answer) {
  if (example.messages.back().role == "assistant") example.messages.pop_back();
  example.messages.push_back({"assistant", answer});
  return example;
}

}  // namespace

std::vector<Example> pair_with_refusals(const std::vector<Example>& prompts,
                                        const std::vector<std::string>& refusals, uint64_t seed) {
  CALTROP_ASSERT(!refusals.empty(), "no refusals to pair with");
  RandomStream random(seed, "refusals");
  std::vector<Example> pairs;
  for (const Example& prompt : prompts)
    pairs.push_back(answered(prompt, refusals[random.below(refusals.size())]));
  return pairs;
}

std::vector<IrrelevantPair> pair_with_irrelevant(const std::vector<Example>& prompts,
                                                 const std::vector<std::string>& answers,
                                                 const IrrelevantOptions& options, uint64_t seed) {
  CALTROP_ASSERT(!answers.empty(), "no answers to pair with");
  std::vector<std::string> texts = answers;
  for (const Example& prompt : prompts) texts.push_back(prompt.prompt() + " " + prompt.response());
  const TfIdf tfidf(texts);
  std::vector<TfIdf::Vector> answer_vectors;
  for (const std::string& answer : answers) answer_vectors.push_back(tfidf.vector(answer));

  RandomStream random(seed, "irrelevant answers");
  std::vector<IrrelevantPair> pairs;
  for (const Example& prompt : prompts) {
    const TfIdf::Vector asked = tfidf.vector(prompt.prompt()), own = tfidf.vector(prompt.response());
    size_t best = 0;
    double lowest = 2;
    int64_t draws = 0;
    while (draws < options.draws && lowest > options.threshold) {
      const size_t drawn = random.below(answers.size());
      const double similarity =
          std::max(cosine(answer_vectors[drawn], asked), cosine(answer_vectors[drawn], own));
      if (similarity < lowest) best = drawn, lowest = similarity;
      ++draws;
    }
    pairs.push_back({answered(prompt, options.prefix + answers[best]), lowest, draws});
  }
  return pairs;
}

}  // namespace caltrop
