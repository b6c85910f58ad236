// Which of the generations a reader should see: for each model and attack the same few prompts, answered
// before, during and after the attack. Tested by tests/report/examples_test.cc.
#pragma once

#include <string>
#include <vector>

#include "caltrop/record/samples.h"
#include "caltrop/report/load.h"

namespace caltrop {

struct Answer {
  std::string stage;  // "before", "during", "after"
  int64_t step = 0;   // attack steps
  Sample sample;
};

struct ShownAnswer {
  std::string set, id, prompt;
  std::vector<Answer> answers;
};

struct ExampleGroup {
  std::string model, attack, arm;
  int64_t seed = 0;
  std::vector<ShownAnswer> examples;
};

/// One group for each model and attack whose cell of the lowest seed left samples. `per_set` prompts of each
/// set, of different categories where there are any; "during" is the step at which the outcome first changed,
/// or else the middle. The choice depends on the prompts alone, never on the answers.
std::vector<ExampleGroup> choose_examples(const Proof& proof, size_t per_set = 2);

}  // namespace caltrop
