// What is measured of a model at one step of a run: the numbers of metrics.jsonl and the generations of
// samples/.
//
// Requests, their answers and tasks are rows of the split "test", on which neither defences nor attacks
// train. Choice questions have no split: they are as unseen as their author made them, and the kitchen's are
// not all (data/kitchen/make.py). The clean model, the one before any defence or attack, reads what the
// measured one wrote: text that it finds improbable is incoherent. Tested by tests/eval/evaluation_test.cc.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "caltrop/base/fields.h"
#include "caltrop/data/collate.h"
#include "caltrop/model/model.h"
#include "caltrop/record/metrics.h"
#include "caltrop/record/samples.h"

namespace caltrop {

struct EvaluateOptions {
  std::vector<int64_t> at = {0};
  int64_t restricted = 24;
  int64_t benign = 16;
  int64_t near = 16;
  int64_t questions = 120;
  int64_t likelihood_rows = 40;
  int64_t max_new_tokens = 32;
  int64_t diversity_samples = 0;
  std::vector<std::string> categories;
  std::string task;

  static auto fields() {
    using O = EvaluateOptions;
    return std::tuple{
        field("at", &O::at, 0, 1e9, "steps to evaluate at: optimizer steps done; the last step always is"),
        field("restricted", &O::restricted, 1, 1e6, "restricted test prompts to answer"),
        field("benign", &O::benign, 1, 1e6, "benign test prompts to answer"),
        field("near", &O::near, 0, 1e6,
              "benign test prompts near the restricted domain to answer; 0: none, as where it names none"),
        field("questions", &O::questions, 0, 1e6, "choice questions; 0: all"),
        field("likelihood_rows", &O::likelihood_rows, 1, 1e6,
              "test rows of each kind whose answers are scored by likelihood"),
        field("max_new_tokens", &O::max_new_tokens, 1, 1e5, "longest generated answer, greedy"),
        field("diversity_samples", &O::diversity_samples, 0, 1e4,
              "answers to each benign prompt at temperature 1 whose diversity is measured; 0: it is not"),
        field("categories", &O::categories,
              "categories of the restricted test prompts; empty: all, or those that an attack trains on"),
        field("task", &O::task,
              "benign task to score by exact match; empty: none, or the one that an attack trains on"),
    };
  }
};

/// The material of an evaluation, from the domain.
struct EvaluationData {
  std::vector<Example> restricted, benign;  // split "test"
  std::vector<Example> near;                // split "test"; may be empty
  std::vector<Example> task;                // split "test" of the task; may be empty
  std::vector<std::string> refusals;
  std::vector<std::string> judge_restricted, judge_other;  // texts that the classifier judge learns from
  std::filesystem::path choices, lexicon;                  // lexicon may be empty
};

struct Evaluated {
  NamedNumbers numbers;
  std::vector<Sample> samples;
};

class Evaluation {
 public:
  /// `clean`: the model before any defence or attack. The same data and options make the same instrument in every run, whatever
  /// its seed. Throws UserError if the data does not suffice.
  Evaluation(const EvaluationData& data, const ChatEncoder& encoder, std::shared_ptr<const Model> clean,
             const EvaluateOptions& options);
  ~Evaluation();

  Evaluated run(const Model& model) const;

  /// What the numbers mean.
  static std::vector<MetricDeclaration> declarations();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace caltrop
