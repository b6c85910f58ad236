// What the tests of defences share: a method on the tiny model, its gradients, and the fixed batches of its streams.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "caltrop/kernels/elementwise.h"
#include "caltrop/kernels/math_mode.h"
#include "caltrop/loss/language.h"
#include "caltrop/train/objective.h"
#include "tests/reference/ctrap_twin.h"
#include "tests/support/tiny_batches.h"

namespace caltrop {
std::vector<const Entry*> all_defences();

namespace test {

class MethodTest : public testing::Test {
 protected:
  std::shared_ptr<Model> model = tiny_model();
  const NamedTensors before = copy_of(model->parameters());
  Tokenizer tokenizer = Tokenizer::load(data_file("tiny-model"));
  Scalars scalars;  // of the last step

  std::unique_ptr<Objective> make(const std::string& name, const Json& options) {
    auto objective = find_entry(all_defences(), "defence", name).make(options);
    objective->use_rewards([] { return Rewards{{"judges", by_length}}; });
    objective->prepare(*model, tokenizer);
    return objective;
  }

  /// The gradients that one step of six rows a stream adds; checks that the weights are as they were.
  Gradients gradients(Objective& objective, int64_t part = 6, int64_t number = 0) {
    Step step = make_step(*model, objective.streams(), 6, part, number, objective.beginnings());
    scalars = objective.add_gradients(step);
    EXPECT_TRUE(same_bits(model->parameters(), before)) << "the weights are not what they were";
    for (const auto& [name, value] : scalars) {
      bool declared = false;
      for (const MetricDeclaration& d : objective.logged()) declared = declared || d.name == name;
      EXPECT_TRUE(declared) << name << " is logged and not declared";
    }
    return take_gradients(*model);
  }
  Gradients gradients(const std::string& name, const Json& options) {
    return gradients(*make(name, options));
  }

  double scalar(const std::string& name) const { return test::scalar(scalars, name); }

  /// The batch that make_step gives the i-th stream, counted from 1.
  static Batch batch(uint64_t i) { return pack(random_rows(i, 6)); }
  Gradients cross_entropy(const Batch& rows) const { return cross_entropy_gradient(*model, rows); }

  /// grad of -log(1 + mean over h_0 .. h_L of the cross-entropy read there), by autograd and nothing else.
  Gradients layerwise_ascent(const Batch& rows) const {
    const MathMode math;
    Trace trace;
    trace.keep_states = true;
    model->forward(rows.tokens, &trace);
    Tensor mean = at::zeros({});
    for (size_t i = 0; i < trace.states.size(); ++i) {
      Tensor h = trace.states[i].index_select(0, rows.label_positions);
      if (i + 1 < trace.states.size())
        h = rms_norm(h, model->weight("model.norm.weight"), model->config().norm_epsilon);
      mean = mean + at::cross_entropy_loss(at::linear(h, model->head()), rows.labels) /
                        static_cast<double>(trace.states.size());
    }
    return torch::autograd::grad({-at::log1p(mean)}, parameters_of(*model));
  }
};

inline Gradients sum(const std::vector<std::pair<double, Gradients>>& terms) {
  Gradients total;
  for (size_t i = 0; i < terms.front().second.size(); ++i) {
    Tensor t = terms.front().first * terms.front().second[i];
    for (size_t k = 1; k < terms.size(); ++k) t = t + terms[k].first * terms[k].second[i];
    total.push_back(t);
  }
  return total;
}

}  // namespace test
}  // namespace caltrop
