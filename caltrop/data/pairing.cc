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

AnswerSimilarity tfidf_similarity(const std::vector<Example>& prompts,
                                  const std::vector<std::string>& answers) {
  std::vector<std::string> texts = answers;
  for (const Example& prompt : prompts) texts.push_back(prompt.prompt() + " " + prompt.response());
  const TfIdf tfidf(texts);
  std::vector<TfIdf::Vector> of_answers, asked, own;
  for (const std::string& answer : answers) of_answers.push_back(tfidf.vector(answer));
  for (const Example& prompt : prompts) {
    asked.push_back(tfidf.vector(prompt.prompt()));
    own.push_back(tfidf.vector(prompt.response()));
  }
  return [=](size_t answer, size_t prompt) {
    return std::max(cosine(of_answers[answer], asked[prompt]), cosine(of_answers[answer], own[prompt]));
  };
}

std::vector<IrrelevantPair> pair_with_irrelevant(const std::vector<Example>& prompts,
                                                 const std::vector<std::string>& answers,
                                                 const AnswerSimilarity& similarity,
                                                 const IrrelevantOptions& options, uint64_t seed) {
  CALTROP_ASSERT(!answers.empty(), "no answers to pair with");
  RandomStream random(seed, "irrelevant answers");
  std::vector<IrrelevantPair> pairs;
  for (size_t prompt = 0; prompt < prompts.size(); ++prompt) {
    size_t best = 0;
    double lowest = 2;
    int64_t draws = 0;
    while (draws < options.draws && lowest > options.threshold) {
      const size_t drawn = random.below(answers.size());
      const double alike = similarity(drawn, prompt);
      if (alike < lowest) best = drawn, lowest = alike;
      ++draws;
    }
    pairs.push_back({answered(prompts[prompt], options.prefix + answers[best]), lowest, draws});
  }
  return pairs;
}

}  // namespace caltrop
