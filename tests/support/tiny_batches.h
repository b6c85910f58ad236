// Rows, batches and steps for the tiny model.
#pragma once

#include "caltrop/train/step.h"
#include "tests/support/tiny_model.h"

namespace caltrop::test {

/// `count` random rows of different lengths over the tiny vocabulary; the first three tokens are a prompt
/// that all share.
std::vector<TokenRow> random_rows(uint64_t seed, int64_t count);

/// A step over `rows` rows of each named stream, in micro-batches of `part` rows, and so are the fresh rows that it draws. It
/// keeps its rows.
Step make_step(const Model& model, const std::vector<std::string>& streams, int64_t rows, int64_t part,
               int64_t number = 0, Beginnings beginnings = Beginnings::kShared);

/// A reward that pays for every character.
std::vector<double> by_length(const std::vector<std::string>& prompts,
                              const std::vector<std::string>& responses);

/// The scalar called `name`. Throws where there is none, so that no test passes by not finding it.
double scalar(const Scalars& scalars, const std::string& name);

std::vector<Tensor> parameters_of(const Model& model);
/// Leaves the start: all weights times `factor`.
void scale_weights(const Model& model, double factor);

/// `.grad` of every parameter (zeros where it is undefined), then cleared.
Gradients take_gradients(const Model& model);

/// Largest difference relative to the largest value over all of them.
double difference(const Gradients& a, const Gradients& b);

}  // namespace caltrop::test
